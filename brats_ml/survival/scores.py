"""What is measured of predictions: of groups, of their probabilities, of days, and of the order of deaths."""

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
# No probability is taken for less than this, so that one certain error does not make a whole loss infinite.
LEAST = 1e-15


def group_scores(truth: Groups, predicted: Groups, probabilities: Values) -> dict[str, float]:
    """Return `GROUP_SCORES`: the last two are losses, of natural logarithms, and of squares summed over groups.

    Args:
        truth: Shape (patient,).
        predicted: Shape (patient,).
        probabilities: Of `GROUPS` in their order, shape (patient, group).
    """
    is_group = _one_hot(truth)
    of_truth = np.maximum(probabilities[is_group], LEAST)
    return {
        "accuracy": float(accuracy_score(truth, predicted)),
        "balanced_accuracy": float(balanced_accuracy_score(truth, predicted)),
        "macro_f1": float(f1_score(truth, predicted, labels=list(GROUPS), average="macro", zero_division=0)),
        "log_loss": float(-np.log(of_truth).mean()),
        "brier": float(((probabilities - is_group) ** 2).sum(axis=1).mean()),
    }


def calibration(
    truth: Groups, probabilities: Values, *, bins: int
) -> dict[str, tuple[Values, Values, NDArray[np.intp]]]:
    """Return for each group the mean probability, the share of patients in it, and their number, a bin each.

    Bins hold equally many patients, but for one, in the order of the probability.

    Args:
        truth: Shape (patient,).
        probabilities: Of `GROUPS` in their order, shape (patient, group).
        bins: At most so many.
    """
    is_group = _one_hot(truth)
    found: dict[str, tuple[Values, Values, NDArray[np.intp]]] = {}
    for column, group in enumerate(GROUPS):
        parts = [
            part for part in np.array_split(np.argsort(probabilities[:, column], kind="stable"), bins) if len(part)
        ]
        told = np.array([probabilities[part, column].mean() for part in parts])
        seen = np.array([is_group[part, column].mean() for part in parts])
        found[group] = (told, seen, np.array([len(part) for part in parts]))
    return found


def calibration_error(truth: Groups, probabilities: Values, *, bins: int = 5) -> float:
    """Return how far probabilities lie from shares on average: over the bins of `calibration`, then over the groups."""
    curves = calibration(truth, probabilities, bins=bins).values()
    return float(np.mean([np.average(np.abs(told - seen), weights=count) for told, seen, count in curves]))


def days_scores(days: Values, dead: NDArray[np.bool_], expected_days: Values, risk: Values) -> dict[str, float]:
    """Return `DAYS_SCORES`; only the concordance counts patients who were alive when last seen.

    Args:
        days: Of death or of the last sign of life, shape (patient,).
        dead: Who died, shape (patient,).
        expected_days: Predicted, shape (patient,).
        risk: The higher, the sooner death is expected, shape (patient,).

    Returns:
        Squares in days squared; the rank correlation is NaN where one side is constant.
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
    return np.asarray(truth[:, None] == np.array(GROUPS)[None, :])
