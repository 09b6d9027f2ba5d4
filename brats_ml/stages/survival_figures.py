"""The pictures of one estimator, drawn from its predictions of held-out patients."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import CensoredData, ecdf
from sklearn.metrics import confusion_matrix

from brats_ml.cohort.clinical import GROUPS
from brats_ml.intervals import share_interval
from brats_ml.reports.confusion import confusion_figure
from brats_ml.reports.panels import write_figure
from brats_ml.reports.survival_figures import (
    Curve,
    Values,
    calibration_figure,
    distributions_figure,
    importance_figure,
    kaplan_meier_figure,
)
from brats_ml.survival.patients import Patients
from brats_ml.survival.scores import calibration
from brats_ml.survival.summary import PROBABILITIES
from brats_ml.workspace.outputs import SurvivalFolder

BINS = 5
MARKS = 5  # times at which the picture shows the numbers at risk


def draw(
    folder: SurvivalFolder,
    name: str,
    *,
    held_out: pd.DataFrame,
    patients: Patients,
    features: tuple[str, ...],
    importance: Mapping[str, float],
) -> None:
    """Write the pictures of an estimator.

    Args:
        folder: The estimator's folder.
        name: The estimator's name.
        held_out: Predictions of every patient while held out, one a repetition.
        patients: The same patients.
        features: Names of their features.
        importance: Feature to the accuracy that shuffling it costs.
    """
    labelled = held_out[held_out["event"] == 1]
    matrix = confusion_matrix(labelled["group"], labelled["predicted"], labels=list(GROUPS))
    write_figure(folder.picture("confusion"), confusion_figure(matrix, GROUPS, title=f"{name}, out of fold"))
    _calibration(folder.picture("calibration"), name, labelled)
    _kaplan_meier(folder.picture("kaplan_meier"), name, held_out)
    known = patients.labelled
    write_figure(
        folder.picture("distributions"),
        distributions_figure(known.features, known.groups, features, title="features by true group"),
    )
    title = f"{name}: permutation importance, held-out patients"
    write_figure(folder.picture("importance"), importance_figure(importance, title=title))


def survival_curve(days: Values, dead: NDArray[np.bool_], marks_days: Sequence[int]) -> Curve:
    """Return the share of patients alive from day 0 on, by the estimator of Kaplan and Meier.

    Args:
        days: Day of death, or the last day on which the patient was known to be alive, shape (patient,).
        dead: Who died, shape (patient,).
        marks_days: Days on which the patients at risk are counted.
    """
    alive = ecdf(CensoredData.right_censored(days, ~dead)).sf
    steps = np.unique(np.append(0.0, days[dead]))
    at_risk = (days[:, None] >= np.array(marks_days)).sum(axis=0)
    return Curve(steps, alive.evaluate(steps), at_risk)


def _calibration(path: Path, name: str, labelled: pd.DataFrame) -> None:
    by_patient = labelled.groupby("patient")
    truth = by_patient["group"].first().to_numpy(dtype=np.str_)
    found = calibration(truth, by_patient[list(PROBABILITIES)].mean().to_numpy(), bins=BINS)
    curves = {}
    for group, (predicted, seen, counts) in found.items():
        shares = [share_interval(round(share * count), int(count)) for share, count in zip(seen, counts, strict=True)]
        low, high = (np.array([getattr(share, end) for share in shares]) for end in ("low", "high"))
        curves[group] = (predicted, seen, low, high, counts)
    title = f"{name}: calibration out of fold, mean of the repetitions, 95 % Wilson intervals"
    write_figure(path, calibration_figure(curves, title=title))


def _kaplan_meier(path: Path, name: str, held_out: pd.DataFrame) -> None:
    """Draw survival in each predicted group; the mean probability over the repetitions gives the group."""
    by_patient = held_out.groupby("patient")
    chosen = np.array(GROUPS)[by_patient[list(PROBABILITIES)].mean().to_numpy().argmax(axis=1)]
    days = by_patient["survival_days"].first().to_numpy(dtype=np.float64)
    dead = by_patient["event"].first().to_numpy() == 1
    marks = np.linspace(0, np.ceil(days.max() / 100) * 100, MARKS).round().astype(int).tolist()
    curves: dict[str, Curve] = {}
    for group in GROUPS:
        of_group = chosen == group
        if of_group.any():
            curves[group] = survival_curve(days[of_group], dead[of_group], marks)
    write_figure(
        path,
        kaplan_meier_figure(curves, marks, title=f"{name}: groups by the mean of the repetitions, held-out patients"),
    )
