"""The clinical tables of a folder as one."""

from pathlib import Path

import pandas as pd

from brats_ml.adapters import files
from brats_ml.cohort.clinical import PATIENT, combine

READY_FEATURES = "survival_features.csv"


def clinical_table(folder: Path) -> pd.DataFrame:
    """Return the clinical rows of every table in a folder that has ages, one row a patient.

    Where two tables know a patient the first name in the alphabet wins, and ready-made features come last.

    Raises:
        TableError: A table is wrong.
    """
    paths = sorted(folder.glob("*.csv"), key=lambda path: (path.name == READY_FEATURES, path.name))
    return combine({path.name: read_table(path) for path in paths})


def read_table(path: Path) -> pd.DataFrame:
    """Return a table as it stands, names of patients as text even where they are made of digits.

    Raises:
        MissingInputError: There is no such file.
        TableError: It holds no columns.
    """
    return files.read_csv(path, made_by="brats acquire", names=PATIENT)
