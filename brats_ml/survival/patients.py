"""Which rows of the features are labelled patients, and why the others are not."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from brats_ml.cohort.clinical import GROUPS, survival_group
from brats_ml.survival.estimators import Features, Groups
from brats_ml.survival.features import FEATURES

LEFT_OUT = ("censored", "unlabelled", "incomplete", "not_gtr", "follow_up")


@dataclass(frozen=True)
class LabelledPatients:
    """Patients whose group is known.

    Attributes:
        names: Patients, sorted, one row each.
        features: Shape (patient, feature), columns in the order of `FEATURES`.
        groups: Names of `GROUPS`, shape (patient,).
    """

    names: list[str]
    features: Features
    groups: Groups

    @property
    def counts(self) -> dict[str, int]:
        """Patients in each group."""
        return {group: int((self.groups == group).sum()) for group in GROUPS}


def row_states(table: pd.DataFrame, *, cohort: str) -> pd.Series:
    """Return for each row of features `labelled`, or which of `LEFT_OUT` it is.

    `censored` was alive when last seen; `unlabelled` has no survival; `incomplete` lacks a finite feature; `not_gtr`
    falls outside the cohort; `follow_up` is a later examination of a patient who is labelled already.

    Args:
        table: Columns of the features stage.
        cohort: `gtr` for gross total resections only, `all` for everyone.
    """
    finite = np.isfinite(table[list(FEATURES)].to_numpy(dtype=np.float64)).all(axis=1)
    states = pd.Series("labelled", index=table.index)
    states[~finite] = "incomplete"
    states[table["event"] == 0] = "censored"
    states[table["event"].isna() | table["survival_days"].isna()] = "unlabelled"
    if cohort == "gtr":
        states[table["resection"] != "GTR"] = "not_gtr"
    labelled = table.loc[states == "labelled"].sort_values("case_id")
    states[labelled.index[labelled["patient"].duplicated()]] = "follow_up"
    return states


def labelled_patients(rows: pd.DataFrame, *, limits_days: list[int]) -> LabelledPatients:
    """Return labelled rows as arrays, ordered by patient, grouped by survival."""
    ordered = rows.sort_values("patient")
    return LabelledPatients(
        names=ordered["patient"].tolist(),
        features=ordered[list(FEATURES)].to_numpy(dtype=np.float64),
        groups=np.array([survival_group(days, limits_days) for days in ordered["survival_days"]], dtype=np.str_),
    )
