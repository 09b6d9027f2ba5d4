"""Which rows of the features are labelled patients, and why the others are not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brats_ml.cohort.clinical import GROUPS, survival_group
from brats_ml.survival.estimators import Features, Groups
from brats_ml.survival.features import FEATURES

LEFT_OUT = ("censored", "unlabelled", "incomplete", "not_gtr", "follow_up")
UNKNOWN = ""  # the group of who was alive when last seen


@dataclass(frozen=True)
class Patients:
    """Patients who died, whose group is thus known, and patients who were alive when last seen.

    Attributes:
        names: Patients, one row each.
        features: Shape (patient, feature).
        groups: Names of `GROUPS`, or `UNKNOWN`, shape (patient,).
        days: Of death, or of the last sign of life, shape (patient,).
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
        """Patients in each group."""
        return {group: int((self.groups == group).sum()) for group in GROUPS}

    @property
    def labelled(self) -> Self:
        """Those who are in a group."""
        return self.take(np.flatnonzero(self.dead))

    def take(self, rows: NDArray[np.intp]) -> Self:
        """Return the patients of these rows, in their order."""
        return type(self)([self.names[row] for row in rows], self.features[rows], self.groups[rows], self.days[rows])


def row_states(table: pd.DataFrame, *, cohort: str, features: Sequence[str] = FEATURES) -> pd.Series:
    """Return for each row of features `labelled`, or which of `LEFT_OUT` it is.

    `incomplete` lacks a finite feature; `censored` was alive when last seen; `unlabelled` has no survival; `not_gtr`
    falls outside the cohort; `follow_up` is a later examination of a patient who is labelled or censored already.

    Args:
        table: Columns of the features stage.
        cohort: `gtr` for gross total resections only, `all` for everyone.
        features: Columns that have to be there.
    """
    finite = np.isfinite(table[list(features)].to_numpy(dtype=np.float64)).all(axis=1)
    states = pd.Series("labelled", index=table.index)
    states[table["event"] == 0] = "censored"
    states[~finite] = "incomplete"
    states[table["event"].isna() | table["survival_days"].isna()] = "unlabelled"
    if cohort == "gtr":
        states[table["resection"] != "GTR"] = "not_gtr"
    known = table.loc[states.isin(["labelled", "censored"])].sort_values("case_id")
    states[known.index[known["patient"].duplicated()]] = "follow_up"
    return states


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
