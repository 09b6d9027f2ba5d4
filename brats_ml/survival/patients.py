"""Patients of a table of features: labelled, censored, and the reason for leaving out each other row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brats_ml.cohort.clinical import GROUPS, survival_group
from brats_ml.cohort.names import time_order
from brats_ml.survival.estimators import Features, Groups
from brats_ml.survival.features import FEATURES

LEFT_OUT = ("censored", "unlabelled", "incomplete", "not_gtr", "follow_up")
UNKNOWN = ""  # the group of patients who were alive when last seen


@dataclass(frozen=True)
class Patients:
    """Patients who died, and patients who were alive when last seen; the group of the latter is unknown.

    Attributes:
        names: One name per patient.
        features: Shape (patient, feature).
        groups: Names of `GROUPS`, or `UNKNOWN`, shape (patient,).
        days: Day of death, or the last day on which the patient was known to be alive, shape (patient,).
    """

    names: list[str]
    features: Features
    groups: Groups
    days: NDArray[np.float64]

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Who is known to have died, shape (patient,)."""
        return np.asarray(self.groups != UNKNOWN)

    @property
    def counts(self) -> dict[str, int]:
        """Number of patients in each group."""
        return {group: int((self.groups == group).sum()) for group in GROUPS}

    @property
    def labelled(self) -> Self:
        """The patients with a known group."""
        return self.take(np.flatnonzero(self.dead))

    def take(self, rows: NDArray[np.intp]) -> Self:
        """Return the patients of these rows, in their order."""
        return type(self)([self.names[row] for row in rows], self.features[rows], self.groups[rows], self.days[rows])


def row_states(table: pd.DataFrame, *, cohort: str, features: Sequence[str] = FEATURES) -> pd.Series:
    """Return `labelled` or one of `LEFT_OUT` for each row of a table of features.

    An `incomplete` row lacks a finite feature. A `censored` patient was alive when last seen. An `unlabelled` row has
    no survival. A `not_gtr` row is outside the cohort. A `follow_up` is a later examination of a patient who is
    labelled or censored already.

    Args:
        table: Columns of the features stage.
        cohort: `gtr` for gross total resections only, `all` for everyone.
        features: Required columns.
    """
    finite = np.isfinite(table[list(features)].to_numpy(dtype=np.float64)).all(axis=1)
    states = pd.Series("labelled", index=table.index)
    states[table["event"] == 0] = "censored"
    states[~finite] = "incomplete"
    states[table["event"].isna() | table["survival_days"].isna()] = "unlabelled"
    if cohort == "gtr":
        states[table["resection"] != "GTR"] = "not_gtr"
    known = by_time_point(table.loc[states.isin(["labelled", "censored"])])
    states[known.index[known["patient"].duplicated()]] = "follow_up"
    return states


def by_time_point(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of examinations in the order of their time points, and of their case ids where these are equal.

    Survival counts from the first examination, so the first row of a patient is the one to learn from and to predict.
    """
    return table.sort_values("case_id", key=lambda names: names.astype(str).map(time_order), kind="stable")


def known_patients(rows: pd.DataFrame, *, limits_days: Sequence[int], features: Sequence[str] = FEATURES) -> Patients:
    """Return labelled and censored rows as arrays, ordered by patient, grouped by survival."""
    ordered = rows.sort_values("patient")
    lives = zip(ordered["survival_days"], ordered["event"], strict=True)
    groups = [survival_group(days, list(limits_days)) if event == 1 else UNKNOWN for days, event in lives]
    return Patients(
        names=ordered["patient"].tolist(),
        features=ordered[list(features)].to_numpy(dtype=np.float64).reshape(len(ordered), len(features)),
        groups=np.array(groups, dtype="U5"),
        days=ordered["survival_days"].to_numpy(dtype=np.float64),
    )
