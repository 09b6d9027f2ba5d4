"""Intervals and tests that say by name how they allow for what is not independent."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from scipy.stats import t as student_t

Values = NDArray[np.float64]
CORRECTED = "corrected resampled t, Nadeau and Bengio 2003"
BOOTSTRAP = "percentile bootstrap over patients"
WILSON = "Wilson"


def corrected_t(scores: Values, *, folds: int, level: float = 0.95) -> dict[str, Any]:
    """Return the mean of one value an outer fold, its interval, and the p-value of the mean being 0.

    Folds share most of their training patients, so their scores are not independent and the usual interval is too
    narrow. This is Student's with the corrected variance of C. Nadeau and Y. Bengio, "Inference for the Generalization
    Error", Machine Learning 52, 2003: the variance over the J folds is weighted by 1/J + (test size / training size),
    here 1/J + 1/(folds - 1). It is an approximation.

    Args:
        scores: Shape (outer fold,), at least two.
        folds: Outer folds of one repetition.
        level: Confidence.

    Returns:
        `mean`, `low`, `high`, `p` (two-sided) and `method`.
    """
    count = len(scores)
    mean = float(scores.mean())
    error = float(np.sqrt((1 / count + 1 / (folds - 1)) * scores.var(ddof=1)))
    half = float(student_t.ppf(0.5 + level / 2, df=count - 1)) * error
    standardised = abs(mean) / error if error > 0 else np.inf if mean else 0.0
    p = 2 * float(student_t.sf(standardised, df=count - 1))
    return {"mean": mean, "low": mean - half, "high": mean + half, "p": p, "method": CORRECTED}


def interval(scores: Values, *, folds: int, greatest: float = 1.0) -> dict[str, Any]:
    """Return `corrected_t` of scores between 0 and `greatest`, cut to that, without the test."""
    found = corrected_t(scores, folds=folds)
    return {
        "mean": found["mean"],
        "low": max(0.0, found["low"]),
        "high": min(greatest, found["high"]),
        "method": CORRECTED,
    }


def over_patients(
    statistic: Callable[[NDArray[np.intp]], float], count: int, *, resamples: int, seed: int, level: float = 0.95
) -> dict[str, Any]:
    """Return a statistic of all patients and its percentile interval over patients drawn with replacement.

    The models stay as they are, so that this says how the figure would vary with the patients it is measured on, and
    not with those that were learnt from.

    Args:
        statistic: Of the patients with these indices, shape (drawn,).
        count: Patients.
        resamples: Draws.
        seed: Of the draws.
        level: Confidence.

    Returns:
        `mean` (of all patients), `low`, `high` and `method`.
    """
    random = np.random.default_rng(seed)
    drawn = [statistic(random.integers(0, count, count)) for _ in range(resamples)]
    low, high = np.nanquantile(drawn, [0.5 - level / 2, 0.5 + level / 2])
    return {"mean": statistic(np.arange(count)), "low": float(low), "high": float(high), "method": BOOTSTRAP}


def wilson(right: int, count: int) -> dict[str, Any]:
    """Return a share of independent patients with its interval.

    E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", J. Am. Stat. Assoc. 22, 1927.
    """
    found = binomtest(right, count).proportion_ci(method="wilson")
    return {"mean": right / count, "low": float(found.low), "high": float(found.high), "method": WILSON}
