"""The tables in a folder and its folders: clinical rows, and the names that mean the same patient."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from brats_ml.adapters import folder_walk
from brats_ml.adapters.tables.csv_dialects import parse_csv
from brats_ml.cohort.clinical import patient_names
from brats_ml.cohort.clinical_merge import combine
from brats_ml.cohort.patients import Identities, identify
from brats_ml.cohort.release_files import is_mapping, is_table
from brats_ml.errors import MissingInputError, TableError
from brats_ml.files import require_regular

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
    tables = read_tables(folder)
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
    tables = {name: table for name, table in read_tables(folder).items() if not is_mapping(name)}
    return combine(tables, identities(folder) if known is None else known)


def read_table(path: Path, *, name: str | None = None) -> pd.DataFrame:
    """Return a table from outside, every cell as text without surrounding blanks.

    Args:
        path: The table.
        name: Name of the table in an error; by default the file's name.

    Raises:
        MissingInputError: There is no such file.
        TableError: It cannot be read, is larger than LARGEST_MB, or is not a table.
    """
    name = name or path.name
    try:
        require_regular(path)
        size = path.stat().st_size
        if size > LARGEST_MB * 10**6:
            reason = f"has {size / 10**6:.0f} MB, but tables of patients have at most {LARGEST_MB} MB"
            raise TableError(name, f"{reason}; remove it, or drop columns that it does not need")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingInputError(path, remedy="run `brats acquire` first") from error
    except OSError as error:
        raise TableError(name, f"cannot be read, {error.strerror}; grant read permission, or remove it") from error
    return parse_csv(content, name=name)
