"""The CSV tables that the stages exchange, in one canonical form."""

import os
from collections.abc import Sequence

import pandas as pd

from brats_ml.errors import TableError
from brats_ml.files import replacing, require
from brats_ml.workspace import Artefact


def write_csv(path: os.PathLike[str], table: pd.DataFrame) -> None:
    """Write a table without its index; floats have the shortest form that reads back equal."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def read_csv(table: Artefact, *, names: Sequence[str] = ("patient", "case_id")) -> pd.DataFrame:
    """Read a table that another command wrote; only an empty cell is a missing value.

    Args:
        table: The table.
        names: Columns that stay text, such as the name 00042, whether the table has them or not.

    Raises:
        MissingInputError: There is no such file.
        TableError: It holds no columns.
    """
    columns = dict.fromkeys(names, str)
    try:
        return pd.read_csv(require(table), keep_default_na=False, na_values=[""], dtype=columns)
    except pd.errors.EmptyDataError as error:
        raise TableError(table.path, f"is empty; run `{table.made_by}` again") from error
