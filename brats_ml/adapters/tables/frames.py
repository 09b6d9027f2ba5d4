"""The CSV tables that the stages exchange, in one canonical form."""

import csv
import os
from collections.abc import Callable, Sequence
from typing import Literal

import pandas as pd

from brats_ml.errors import TableError
from brats_ml.files import replacing, require
from brats_ml.untrusted_text import neutral_cell, original_cell
from brats_ml.workspace import Artefact


def write_csv(path: os.PathLike[str], table: pd.DataFrame) -> None:
    """Write a table without its index; floats have the shortest form that reads back equal.

    A text that a spreadsheet would take for a formula gets an apostrophe in front, which `read_csv` removes.
    """
    neutral = _map_texts(table, neutral_cell)
    # A carriage return ends a line for those who read the table, and the writer does not quote it by itself.
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if _has_carriage_return(neutral) else csv.QUOTE_MINIMAL
    with replacing(path) as temporary:
        neutral.to_csv(temporary, index=False, quoting=quoting, errors="backslashreplace")


def write_parquet(path: os.PathLike[str], table: pd.DataFrame, *, numbers: Sequence[str], flags: Sequence[str]) -> None:
    """Write a table without its index as Parquet; the type of a column depends on its name and on no cell.

    Args:
        path: The file.
        table: The table.
        numbers: The columns that hold numbers.
        flags: The columns that are true or false; all others hold text.
    """
    types = dict.fromkeys(numbers, "float64") | dict.fromkeys(flags, "boolean")
    typed = table.astype({name: types.get(name, "string") for name in table.columns})
    with replacing(path) as temporary:
        typed.to_parquet(temporary, engine="pyarrow", index=False)


def read_parquet(table: Artefact) -> pd.DataFrame:
    """Read what `write_parquet` wrote.

    Raises:
        MissingInputError: There is no such file.
        TableError: It is no Parquet file.
    """
    try:
        return pd.read_parquet(require(table), engine="pyarrow")
    except (OSError, ValueError) as error:
        raise TableError(table.path, f"is not a table; run `{table.made_by}` again") from error


def read_csv(table: Artefact, *, names: Sequence[str] = ("patient", "case_id")) -> pd.DataFrame:
    """Read a table that another command wrote; only an empty cell is a missing value.

    Args:
        table: The table.
        names: Columns that stay text, such as the name 00042, whether the table has them or not.

    Raises:
        MissingInputError: There is no such file.
        TableError: It holds no columns, or is no table.
    """
    columns = dict.fromkeys(map(neutral_cell, names), str)
    try:
        found = pd.read_csv(require(table), keep_default_na=False, na_values=[""], dtype=columns)
    except pd.errors.EmptyDataError as error:
        raise TableError(table.path, f"is empty; run `{table.made_by}` again") from error
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise TableError(table.path, f"is not a table; run `{table.made_by}` again") from error
    return _map_texts(found, original_cell)


def _has_carriage_return(table: pd.DataFrame) -> bool:
    texts = [cell for _, column in table.items() if not pd.api.types.is_numeric_dtype(column.dtype) for cell in column]
    return any(isinstance(text, str) and "\r" in text for text in [*table.columns, *texts])


def _map_texts(table: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Return a table with every text changed, those of its header too."""
    mapped = table.copy(deep=False)
    for at, dtype in enumerate(table.dtypes):
        if pd.api.types.is_numeric_dtype(dtype):
            continue
        cells = table.iloc[:, at]
        changed = [change(cell) if isinstance(cell, str) else cell for cell in cells]
        mapped.isetitem(at, pd.Series(changed, index=table.index, dtype=dtype))
    return mapped.rename(columns=lambda name: change(name) if isinstance(name, str) else name)
