"""Compare the names of patients, find their releases, and recognise cells that are no names."""

import re
import unicodedata
from collections.abc import Iterable

# The part of a name after the year is unique, and the same in 2017, 2018 and 2019, except that 2017 writes TCIA where
# the others write TCIA01 to TCIA13. This holds for all 460 patients in the official mapping tables of these years.
SHARED_NUMBERING = re.compile(r"brats1[789]_(?:(tcia)\d*(?=_))?(.+)")
YEAR = re.compile(r"brats(?:20)?(\d\d)_")
RELEASE = re.compile(r"brats[\W_]*(?:20)?\d\d", re.IGNORECASE)
# The names of cases since 2023, and those with `_ses-`, end in a time point, which is not part of the patient's name.
TIME_POINT = re.compile(
    r"(?P<since_2023>brats-[a-z]+-\d+)-(?P<number>\d+)|(?P<patient>.+?)_ses-(?P<session>.+)", re.IGNORECASE | re.DOTALL
)
NUMBER_OR_TEXT = re.compile(r"\d+|\D+")
PLACEHOLDERS = frozenset({"", "na", "nan", "none", "null", "unknown", "missing", "notavailable", "notapplicable"})
LONGEST_SHOWN = 60
HEADERS_SHOWN = 20


def bare_name(name: str) -> str:
    """Return the name of a patient without time point and invisible characters."""
    visible = unicodedata.normalize("NFC", _without_format(name).strip()) or name
    return patient_of(visible)


def patient_of(case_id: str) -> str:
    """Return the patient of a case: its id without the time point that ids since 2023, or with `_ses-`, end in."""
    found = TIME_POINT.fullmatch(case_id)
    return (found["since_2023"] or found["patient"]) if found else case_id


def time_point_of(case_id: str) -> str:
    """Return the time point that the id of a case ends in, such as 101 or a session; nothing without one."""
    found = TIME_POINT.fullmatch(case_id)
    return (found["number"] or found["session"]) if found else ""


def time_order(case_id: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts the cases of a patient by time point; digits count as numbers, so 2 is before 10.

    A case without a time point is the first. Numbers come before words, and case ids decide between equal time points.
    """
    parts = NUMBER_OR_TEXT.findall(time_point_of(case_id).casefold())
    return (*((1, int(part), "") if part.isdecimal() else (2, 0, part) for part in parts), (0, 0, case_id))


def name_key(name: str) -> str:
    """Return the key by which names are compared; names with equal keys mean one patient.

    The key ignores upper and lower case, Unicode forms, blanks and invisible characters, and whether the year has two
    digits or four. For names of 2017 to 2019 it ignores the year, too.
    """
    letters = unicodedata.normalize("NFD", "".join(_without_format(name).split())).casefold()
    plain = unicodedata.normalize("NFC", letters)
    timeless = patient_of(plain)
    folded = YEAR.sub(r"brats\1_", timeless, count=1) if timeless.startswith("brats") else timeless
    shared = SHARED_NUMBERING.fullmatch(folded)
    return f"2017-2019:{shared[1] or ''}{shared[2]}" if shared else folded


def release_year(name: str) -> int:
    """Return the year of the release that uses a name: 2023 for all names in the style of 2023, 0 for no release."""
    if re.match(r"brats-[a-z]+-\d", name, re.IGNORECASE):
        return 2023
    found = re.match(r"brats(?:20)?(\d\d)(?!\d)", name, re.IGNORECASE)
    return 2000 + int(found[1]) if found else 0


def is_placeholder(cell: str) -> bool:
    """Return whether a cell marks a missing name: it is empty, NA, unknown or similar."""
    return re.sub(r"[\W_]", "", cell).lower() in PLACEHOLDERS


def is_release(cell: str) -> bool:
    """Return whether a cell is the name of a release, such as BraTS2020, and not of a patient."""
    return RELEASE.fullmatch(cell) is not None


def name_fault(cell: str) -> str | None:
    """Return a clause that says why a cell cannot be the name of one patient, or None if it can."""
    if len(cell.splitlines()) > 1:
        return "has a line break"
    if "/" in cell:
        return "has a slash, so it is a path or several names"
    return "is the name of a file" if ".nii" in cell.lower() else None


def quote_cell(cell: object) -> str:
    """Return a cell as errors quote it: on one line, and shortened if it is long."""
    text = " ".join(str(cell).split())
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def headers_shown(headers: Iterable[object]) -> str:
    """Return the headers of a table as errors list them; if there are many, only the first few."""
    every = [quote_cell(header) for header in headers]
    return ", ".join(every[:HEADERS_SHOWN]) + (f" and {len(every) - HEADERS_SHOWN} more" * (len(every) > HEADERS_SHOWN))


def _without_format(name: str) -> str:
    return "".join(character for character in name if unicodedata.category(character) != "Cf")
