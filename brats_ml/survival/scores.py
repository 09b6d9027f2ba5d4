"""Scores of survival predictions: of the group, of its probabilities, of the days, and of the order of deaths."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from brats_ml.cohort.clinical import GROUPS
from brats_ml.survival.concordance import concordance
from brats_ml.survival.estimators import Groups

Values = NDArray[np.float64]
GROUP_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier")
DAYS_SCORES = ("mean_squared_error", "median_squared_error", "spearman", "concordance")
# Smaller probabilities count as this one, so that one certain error does not make the whole loss infinite.
LEAST = 1e-15


def group_scores(truth: Groups, predicted: Groups, probabilities: Values) -> dict[str, float]:
    """Return `GROUP_SCORES`. The log loss takes natural logarithms, the Brier score sums squares over the groups.

    Args:
        truth: True group, shape (patient,).
        predicted: Predicted group, shape (patient,).
        probabilities: Of `GROUPS` in their order, shape (patient, group).
    """
    is_group = _one_hot(truth)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "balanced_accuracy": float(balanced_accuracy_score(truth, predicted)),
        "macro_f1": float(f1_score(truth, predicted, labels=list(GROUPS), average="macro", zero_division=0)),
        "log_loss": float(-log_likelihoods(truth, probabilities).mean()),
        "brier": float(((probabilities - is_group) ** 2).sum(axis=1).mean()),
    }


def log_likelihoods(truth: Groups, probabilities: Values) -> Values:
    """Return the natural logarithm of the probability of each patient's true group, shape (patient,).

    A patient without probabilities (NaN) counts as if all groups had the same one.

    Args:
        truth: True group, shape (patient,).
        probabilities: Of `GROUPS` in their order, shape (patient, group).
    """
    of_truth = np.maximum(probabilities[_one_hot(truth)], LEAST)
    return np.asarray(np.log(np.where(np.isnan(of_truth), 1 / len(GROUPS), of_truth)))


def calibration(
    truth: Groups, probabilities: Values, *, bins: int
) -> dict[str, tuple[Values, Values, NDArray[np.intp]]]:
    """Return per group and bin the mean probability, the share of patients in the group, and the number of patients.

    The bins follow the order of the probability. Their sizes differ by one patient at most.

    Args:
        truth: True group, shape (..., patient).
        probabilities: Of `GROUPS` in their order, shape (..., patient, group).
        bins: The largest number of bins.

    Returns:
        Mean probabilities and shares of shape (..., bin), numbers of patients of shape (bin,).
    """
    is_group = _one_hot(truth)
    parts = [part for part in np.array_split(np.arange(truth.shape[-1]), bins) if part.size]
    counts = np.array([part.size for part in parts])

    def binned(values: NDArray[Any], order: NDArray[np.intp]) -> Values:
        ordered = np.take_along_axis(values, order, axis=-1)
        return np.stack([ordered[..., part].mean(axis=-1) for part in parts], axis=-1)

    found: dict[str, tuple[Values, Values, NDArray[np.intp]]] = {}
    for column, group in enumerate(GROUPS):
        order = np.argsort(probabilities[..., column], axis=-1, kind="stable")
        found[group] = (binned(probabilities[..., column], order), binned(is_group[..., column], order), counts)
    return found


def calibration_error(truth: Groups, probabilities: Values, *, bins: int = 5) -> Values:
    """Return the mean distance of probabilities from shares, over the bins of `calibration`, then over the groups.

    Args:
        truth: True group, shape (..., patient).
        probabilities: Of `GROUPS` in their order, shape (..., patient, group).
        bins: The largest number of bins.
    """
    curves = calibration(truth, probabilities, bins=bins).values()
    errors = [np.average(np.abs(predicted - seen), axis=-1, weights=counts) for predicted, seen, counts in curves]
    return np.asarray(np.mean(errors, axis=0))


def days_scores(days: Values, dead: NDArray[np.bool_], expected_days: Values, risk: Values) -> dict[str, float]:
    """Return `DAYS_SCORES`. Only the concordance counts patients who were alive when last seen.

    Args:
        days: Day of death, or the last day on which the patient was known to be alive, shape (patient,).
        dead: Who died, shape (patient,).
        expected_days: Predicted survival, shape (patient,).
        risk: Higher for an earlier expected death, shape (patient,).

    Returns:
        Squared errors in days squared. The rank correlation is NaN if one side is constant.
    """
    errors = (expected_days[dead] - days[dead]) ** 2
    constant = np.ptp(days[dead]) == 0 or np.ptp(expected_days[dead]) == 0
    return {
        "mean_squared_error": float(errors.mean()),
        "median_squared_error": float(np.median(errors)),
        "spearman": float("nan") if constant else float(spearmanr(expected_days[dead], days[dead]).statistic),
        "concordance": concordance(days, dead, risk),
    }


def _one_hot(truth: Groups) -> NDArray[np.bool_]:
    return np.asarray(truth[..., None] == np.array(GROUPS))
