"""One identity for each patient, whatever the releases call them."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from brats_ml.cohort.releases import patient_of
from brats_ml.errors import TableError

# What follows the year is the same in 2017, 2018 and 2019 for all 460 patients that the official mapping tables name
# there, save that 2017 writes TCIA where the others write TCIA01 to TCIA13; and it is unique.
SHARED_NUMBERING = re.compile(r"brats1[789]_(?:(tcia)\d*(?=_))?(.+)", re.IGNORECASE)

NAME_COLUMN = re.compile(r"(?i:brats|tcga|tcia)|(?:^|[\W_]|[a-z])ID$|(?i:(?:^|[\W_]|patient|subject|case)id$)")
NO_NAME_COLUMN = re.compile(r"site|institution|cent(?:er|re)|scanner|hospital|collection|cohort", re.IGNORECASE)
PLACEHOLDERS = frozenset({"", "na", "nan", "none", "null", "unknown", "missing", "notavailable", "notapplicable"})


@dataclass(frozen=True)
class Identities:
    """Which names mean one patient; an equivalence relation.

    Attributes:
        patients: What is compared of a name, to the patient.
        names: Patient to every name of theirs, sorted.
    """

    patients: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def patient(self, name: str) -> str:
        """Return the one name of the patient that `name`, or a case of that name, belongs to.

        It is the name in the newest release, whatever the order of tables and rows. Who was never heard of is called
        as given.
        """
        bare = _bare(name)
        return self.patients.get(_key(bare), bare)

    def aliases(self, name: str) -> tuple[str, ...]:
        """Return every name that the patient called `name` is known by, the one of `patient` included, sorted."""
        patient = self.patient(name)
        return self.names.get(patient, (patient,))


def identify(
    mappings: Mapping[str, pd.DataFrame], names: Iterable[str], same: Iterable[tuple[str, str]] = ()
) -> Identities:
    """Unite the names that mean one patient.

    Names in one row of a mapping table are one patient, and so are names of 2017, 2018 and 2019 that differ in the
    year alone. Numbers of later releases start anew each year and unite nobody.

    Args:
        mappings: Name to mapping table, as read: one row a patient, one column a release.
        names: Other names of patients, such as those of cases and of clinical tables.
        same: Pairs of names that are one patient for another reason, such as equal voxels.

    Raises:
        TableError: A mapping table has fewer than two columns of names.
    """
    groups = [group for name, table in mappings.items() for group in mapping_rows(table, name=name)]
    groups += [[name] for name in names] + [list(pair) for pair in same]
    spellings: dict[str, set[str]] = defaultdict(set)
    for group in groups:
        for name in map(_bare, group):
            spellings[_key(name)].add(name)
    number = {key: index for index, key in enumerate(spellings)}
    links = [pair for group in groups for pair in pairwise(number[_key(_bare(name))] for name in group)]
    ends = np.array(links, dtype=np.intp).reshape(-1, 2).T
    graph = coo_array((np.ones(len(links)), (ends[0], ends[1])), shape=(len(number), len(number)))
    members: list[int] = connected_components(graph, directed=False)[1].tolist() if number else []
    united: dict[int, set[str]] = defaultdict(set)
    for key, member in zip(number, members, strict=True):
        united[member] |= spellings[key]
    known = {_newest(together): tuple(sorted(together)) for together in united.values()}
    return Identities({_key(name): patient for patient, aliases in known.items() for name in aliases}, known)


def name_columns(table: pd.DataFrame, *, name: str) -> list[str]:
    """Return the columns of a mapping table that hold names of patients: of a release, of TCGA or TCIA, or an ID.

    Raises:
        TableError: There are fewer than two.
    """
    headers = [str(column) for column in table.columns]
    found = [header for header in headers if NAME_COLUMN.search(header) and not NO_NAME_COLUMN.search(header)]
    if len(found) < 2:
        raise TableError(
            name,
            "needs two columns of patients' names, such as BraTS_2019_subject_ID and BraTS_2020_subject_ID, and has "
            f"{', '.join(headers)}; correct its header, or remove the table",
        )
    return found


def mapping_rows(table: pd.DataFrame, *, name: str) -> list[list[str]]:
    """Return the names in each row of a mapping table, without cells that name nobody.

    Raises:
        TableError: As `name_columns`.
    """
    columns = [_names(table[column]) for column in name_columns(table, name=name)]
    return [[cell for cell in row if cell] for row in zip(*columns, strict=True)]


def nameless_cells(table: pd.DataFrame, *, name: str) -> dict[str, list[str]]:
    """Return the cells of each column of names that hold something and name nobody: a bare number, a repeated word."""
    found = {}
    for column in name_columns(table, name=name):
        cells = table[column].fillna("").astype(str).str.strip()
        dropped = [
            cell for cell, kept in zip(cells, _names(cells), strict=True) if not kept and not _is_placeholder(cell)
        ]
        if dropped:
            found[column] = dropped
    return found


def release_year(name: str) -> int:
    """Return the year of the release that calls a patient so, 2023 for the naming that began then, 0 for no release."""
    if re.match(r"brats-[a-z]+-\d", name, re.IGNORECASE):
        return 2023
    found = re.match(r"brats(?:20)?(\d\d)(?!\d)", name, re.IGNORECASE)
    return 2000 + int(found[1]) if found else 0


def _names(column: "pd.Series[Any]") -> list[str]:
    """Return the cells of a column, emptied where they name nobody.

    A bare number means another patient in every column, and a word without a number that comes twice is a remark.
    """
    cells = column.fillna("").astype(str).str.strip().tolist()
    counts = Counter(cells)

    def names_someone(cell: str) -> bool:
        lettered = any(character.isalpha() for character in cell)
        single = counts[cell] == 1 or any(character.isdigit() for character in cell)
        return lettered and single and not _is_placeholder(cell)

    return [cell if names_someone(cell) else "" for cell in cells]


def _is_placeholder(cell: str) -> bool:
    return re.sub(r"[\W_]", "", cell).lower() in PLACEHOLDERS


def _bare(name: str) -> str:
    """Return the patient's name of a name that may end in a time point."""
    return patient_of(name.strip())


def _key(name: str) -> str:
    """Return what is compared of a name: releases differ in its case, and 2017-2019 in nothing but the year."""
    shared = SHARED_NUMBERING.fullmatch(name)
    if shared:
        return "2017-2019:" + ((shared[1] or "") + shared[2]).lower()
    return name.lower() if re.match("brats|tcga", name, re.IGNORECASE) else name


def _newest(names: Iterable[str]) -> str:
    return min(names, key=lambda name: (-release_year(name), name))
