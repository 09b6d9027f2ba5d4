"""Find the columns and cells of a mapping table that name patients."""

import re
from collections import Counter
from typing import Any

import pandas as pd

from brats_ml.cohort.names import headers_shown, is_placeholder, is_release, name_fault, name_key, quote_cell
from brats_ml.errors import TableError

NAME_COLUMN = re.compile(r"(?i:brats|tcga|tcia)|(?:^|[\W_]|[a-z])ID$|(?i:(?:^|[\W_]|patient|subject|case)id$)")
NO_NAME_COLUMN = re.compile(r"site|institution|cent(?:er|re)|scanner|hospital|collection|cohort", re.IGNORECASE)


def name_columns(table: pd.DataFrame, *, name: str) -> list[str]:
    """Return the columns of a mapping table that hold names of patients: names in a release, TCGA or TCIA, or IDs.

    Raises:
        TableError: There are fewer than two such columns.
    """
    repeating = repeating_columns(table)
    found = [header for header in _headed(table) if header not in repeating]
    if len(found) < 2:
        but = f" ({', '.join(repeating)} repeats the same few cells)" if repeating else ""
        raise TableError(
            name,
            "needs two columns of patients' names, such as BraTS_2019_subject_ID and BraTS_2020_subject_ID, but has "
            f"{headers_shown(table.columns)}{but}; correct its header, or remove the table",
        )
    return found


def repeating_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns with a header of names in which most cells repeat an earlier cell.

    Such a column holds releases, folds or data sets. Read as names, it would unite all patients. Rows of one patient
    at several time points count as one row.
    """
    columns = {header: map(name_key, _names(table[header])) for header in _headed(table)}
    cells = zip(*set(zip(*columns.values(), strict=True)), strict=True)
    named = [[cell for cell in column if cell] for column in cells]
    return [
        header
        for header, column in zip(columns, named, strict=False)
        if 2 * (len(column) - len(set(column))) > len(column)
    ]


def mapping_rows(table: pd.DataFrame, *, name: str) -> list[list[str]]:
    """Return the names in each row of a mapping table, without cells that name no patient.

    Raises:
        TableError: As in `name_columns`, or a cell holds a line break, a path or the name of a file.
    """
    headers = name_columns(table, name=name)
    columns = [_names(table[header]) for header in headers]
    for header, cells in zip(headers, columns, strict=True):
        for number, cell in enumerate(cells, start=1):
            if fault := name_fault(cell):
                where = f"row {number} below the header: {header} {quote_cell(cell)}"
                raise TableError(name, f"{where} {fault}; write the patient's name alone")
    return [[cell for cell in row if cell] for row in zip(*columns, strict=True)]


def nameless_cells(table: pd.DataFrame, *, name: str) -> dict[str, list[str]]:
    """Return the cells of each column of names that hold a text but no name, such as a bare number."""
    found = {}
    for column in name_columns(table, name=name):
        cells = table[column].fillna("").astype(str).str.strip()
        dropped = [
            cell for cell, kept in zip(cells, _names(cells), strict=True) if not kept and not is_placeholder(cell)
        ]
        if dropped:
            found[column] = dropped
    return found


def _headed(table: pd.DataFrame) -> list[str]:
    headers = [str(column) for column in table.columns]
    return [header for header in headers if NAME_COLUMN.search(header) and not NO_NAME_COLUMN.search(header)]


def _names(column: "pd.Series[Any]") -> list[str]:
    """Return the cells of a column, and an empty text for each cell that names no patient.

    A bare number names no patient, since columns number their patients differently. A word without a digit that
    appears twice is a remark.
    """
    cells = column.fillna("").astype(str).str.strip().tolist()
    counts = Counter(cells)

    def names_someone(cell: str) -> bool:
        lettered = any(character.isalpha() for character in cell)
        single = counts[cell] == 1 or any(character.isdigit() for character in cell)
        return lettered and single and not is_placeholder(cell) and not is_release(cell)

    return [cell if names_someone(cell) else "" for cell in cells]
