"""CSV tables that the stages exchange, in one canonical form."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from brats_ml.errors import TableError
from brats_ml.files import replacing, require


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index, floats in the shortest form that reads back equal."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def read_csv(path: Path, *, made_by: str, names: Sequence[str] = ("patient", "case_id")) -> pd.DataFrame:
    """Read a table that a step before wrote; the only missing value is the empty cell.

    Args:
        path: The table.
        made_by: The command that makes it.
        names: Columns that stay text, such as the name 00042, whether the table has them or not.

    Raises:
        MissingInputError: There is no such file.
        TableError: It holds no columns.
    """
    try:
        return pd.read_csv(
            require(path, made_by=made_by), keep_default_na=False, na_values=[""], dtype=dict.fromkeys(names, str)
        )
    except pd.errors.EmptyDataError as error:
        raise TableError(path, f"is empty; run `{made_by}` again") from error
