"""The tables of a folder and of every folder in it: clinical rows, and which names mean one patient."""

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

# Clinical tables of thousands of patients hold a few hundred KB.
LARGEST_MB = 50


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Return every table of a folder by its path in the folder, `/`-separated, in the order of the alphabet.

    Raises:
        TableError: A file is no table.
    """
    return {name: read_table(folder / name, name=name) for name in sorted(filter(is_table, folder_walk.walk(folder)))}


def identities(folder: Path, names: Iterable[str] = (), same: Iterable[tuple[str, str]] = ()) -> Identities:
    """Return who is who by the tables of a folder, for the names in them and those given.

    Args:
        folder: Holds tables, mapping and clinical ones.
        names: Patients of cases.
        same: Pairs of names that are one patient for another reason.

    Raises:
        TableError: A table is wrong.
    """
    tables = read_tables(folder)
    mappings = {name: table for name, table in tables.items() if is_mapping(name)}
    others = {name: table for name, table in tables.items() if name not in mappings}
    clinical = [patient for name, table in others.items() for patient in patient_names(table, name=name)]
    return identify(mappings, [*names, *clinical], same)


def clinical_table(folder: Path, known: Identities | None = None) -> pd.DataFrame:
    """Return the clinical rows of all tables of a folder, one row a patient.

    Args:
        folder: Holds tables, mapping and clinical ones.
        known: Who is who; by default what the folder alone says.

    Raises:
        TableError: A table is wrong.
    """
    tables = {name: table for name, table in read_tables(folder).items() if not is_mapping(name)}
    return combine(tables, identities(folder) if known is None else known)


def read_table(path: Path, *, name: str | None = None) -> pd.DataFrame:
    """Return a table from outside, every cell as text without surrounding blanks.

    Args:
        path: The table.
        name: What to call it in an error; the name of the file by default.

    Raises:
        MissingInputError: There is no such file.
        TableError: It cannot be read, is above LARGEST_MB, or is no table.
    """
    name = name or path.name
    try:
        size = path.stat().st_size
        if size > LARGEST_MB * 10**6:
            reason = f"has {size / 10**6:.0f} MB, and tables of patients have at most {LARGEST_MB} MB"
            raise TableError(name, f"{reason}; remove it, or leave its further columns out")
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingInputError(path, remedy="run `brats acquire` first") from error
    except OSError as error:
        raise TableError(name, f"cannot be read, {error.strerror}; mend its permissions, or remove it") from error
    return parse_csv(content, name=name)
