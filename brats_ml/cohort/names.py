"""What a patient's name is: what is compared of it, which release gave it, and what is none."""

import re
import unicodedata
from collections.abc import Iterable

# What follows the year is the same in 2017, 2018 and 2019 for all 460 patients that the official mapping tables name
# there, save that 2017 writes TCIA where the others write TCIA01 to TCIA13; and it is unique.
SHARED_NUMBERING = re.compile(r"brats1[789]_(?:(tcia)\d*(?=_))?(.+)")
YEAR = re.compile(r"brats(?:20)?(\d\d)_")
RELEASE = re.compile(r"brats[\W_]*(?:20)?\d\d", re.IGNORECASE)
# Names of 2023 and later end in a time point, which is no part of the patient's name.
TIME_POINT = re.compile(r"(brats-[a-z]+-\d+)-\d+", re.IGNORECASE)
PLACEHOLDERS = frozenset({"", "na", "nan", "none", "null", "unknown", "missing", "notavailable", "notapplicable"})
LONGEST_SHOWN = 60
HEADERS_SHOWN = 20


def bare_name(name: str) -> str:
    """Return the patient's name of a name that may end in a time point, without what nobody can see."""
    visible = unicodedata.normalize("NFC", _without_format(name).strip()) or name
    found = TIME_POINT.fullmatch(visible)
    return found[1] if found else visible


def name_key(name: str) -> str:
    """Return what is compared of a name.

    Names that look equal are equal: letters in any case and Unicode form, blanks and invisible characters left out,
    the year in two digits or four. The names of 2017-2019 differ in nothing but the year.
    """
    letters = unicodedata.normalize("NFD", "".join(_without_format(name).split())).casefold()
    plain = unicodedata.normalize("NFC", letters)
    timed = TIME_POINT.fullmatch(plain)
    folded = YEAR.sub(r"brats\1_", timed[1] if timed else plain, count=1) if plain.startswith("brats") else plain
    shared = SHARED_NUMBERING.fullmatch(folded)
    return f"2017-2019:{shared[1] or ''}{shared[2]}" if shared else folded


def release_year(name: str) -> int:
    """Return the year of the release that calls a patient so, 2023 for the naming that began then, 0 for no release."""
    if re.match(r"brats-[a-z]+-\d", name, re.IGNORECASE):
        return 2023
    found = re.match(r"brats(?:20)?(\d\d)(?!\d)", name, re.IGNORECASE)
    return 2000 + int(found[1]) if found else 0


def is_placeholder(cell: str) -> bool:
    """Return whether a cell says that there is no name: nothing, NA, unknown and the like."""
    return re.sub(r"[\W_]", "", cell).lower() in PLACEHOLDERS


def is_release(cell: str) -> bool:
    """Return whether a cell is the name of a release, such as BraTS2020, and so of no patient."""
    return RELEASE.fullmatch(cell) is not None


def name_fault(cell: str) -> str | None:
    """Return why a cell cannot be one patient's name, a clause, or None where it can."""
    if len(cell.splitlines()) > 1:
        return "holds a line break"
    if "/" in cell:
        return "holds a slash, so that it is a path or several names"
    return "is the name of a file" if ".nii" in cell.lower() else None


def quote_cell(cell: object) -> str:
    """Return a cell as an error quotes it: in one line, and cut where it is long."""
    text = " ".join(str(cell).split())
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def headers_shown(headers: Iterable[object]) -> str:
    """Return the headers of a table as an error lists them, the first few of many."""
    every = [quote_cell(header) for header in headers]
    return ", ".join(every[:HEADERS_SHOWN]) + (f" and {len(every) - HEADERS_SHOWN} more" * (len(every) > HEADERS_SHOWN))


def _without_format(name: str) -> str:
    return "".join(character for character in name if unicodedata.category(character) != "Cf")
