"""The tables in a folder and its folders: clinical rows, and the names that mean the same patient."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from brats_ml.adapters import folder_walk
from brats_ml.adapters.tables.csv_dialects import parse_csv
from brats_ml.cohort.clinical import patient_names
from brats_ml.cohort.clinical_merge import combine
from brats_ml.cohort.patients import Identities, identify
from brats_ml.cohort.release_files import is_mapping, is_table
from brats_ml.errors import MissingInputError, TableError
from brats_ml.reading import open_regular

# Clinical tables of thousands of patients hold a few hundred KB.
LARGEST_MB = 50


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return every table in a folder by its path in the folder, `/`-separated, in alphabetical order.

    Raises:
        TableError: A file is not a table.
    """
    return {name: read_table(folder / name, name=name) for name in sorted(filter(is_table, folder_walk.walk(folder)))}


def identities(folder: Path, names: Iterable[str] = (), same: Iterable[tuple[str, str]] = ()) -> Identities:
    """Return which names mean the same patient, by the tables in a folder, for the names in them and those given.

    Args:
        folder: Folder of mapping and clinical tables.
        names: Patients of cases.
        same: Further pairs of names that mean one patient.

    Raises:
        TableError: A table is wrong.
    """
    return identities_in(read_tables(folder), names, same)


def identities_in(
    tables: Mapping[str, pd.DataFrame], names: Iterable[str] = (), same: Iterable[tuple[str, str]] = ()
) -> Identities:
    """Return which names mean the same patient, as `identities` does, by tables that were read.

    Raises:
        TableError: A table is wrong.
    """
    mappings = {name: table for name, table in tables.items() if is_mapping(name)}
    others = {name: table for name, table in tables.items() if name not in mappings}
    clinical = [patient for name, table in others.items() for patient in patient_names(table, name=name)]
    return identify(mappings, [*names, *clinical], same)


def clinical_table(folder: Path, known: Identities | None = None) -> pd.DataFrame:
    """Return the clinical rows of all tables in a folder, one row a patient.

    Args:
        folder: Folder of mapping and clinical tables.
        known: Which names mean the same patient; by default as the folder says.

    Raises:
        TableError: A table is wrong.
    """
    return clinical_rows_in(read_tables(folder), identities(folder) if known is None else known)


def clinical_rows_in(tables: Mapping[str, pd.DataFrame], known: Identities) -> pd.DataFrame:
    """Return the clinical rows of tables that were read, one row a patient.

    Raises:
        TableError: A table is wrong.
    """
    return combine({name: table for name, table in tables.items() if not is_mapping(name)}, known)


def read_table(path: Path, *, name: str | None = None) -> pd.DataFrame:
    """Return a table from outside, every cell as text without surrounding blanks.

    Args:
        path: The table.
        name: Name of the table in an error; by default the file's name.

    Raises:
        MissingInputError: There is no such file.
        TableError: It is not a file, is larger than LARGEST_MB, or is not a table.
        StorageError: The operating system cannot read it.
    """
    name = name or path.name
    if not os.path.lexists(path):
        raise MissingInputError(path, remedy="run `brats acquire` first")
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            content = file.read(LARGEST_MB * 10**6 + 1)
    except ValueError as error:
        raise TableError(name, f"cannot be read, {error}; grant read permission, or remove it") from error
    if len(content) > LARGEST_MB * 10**6:
        reason = f"has {size / 10**6:.0f} MB, but tables of patients have at most {LARGEST_MB} MB"
        raise TableError(name, f"{reason}; remove it, or drop columns that it does not need")
    return parse_csv(content, name=name)
