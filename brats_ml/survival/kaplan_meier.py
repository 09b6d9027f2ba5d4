"""The share of patients alive over time, where some were alive when last seen."""

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


def kaplan_meier(days: Values, dead: NDArray[np.bool_]) -> tuple[Values, Values]:
    """Return the days on which the share alive steps down, and the share from each on; the first is day 0, share 1.

    E. L. Kaplan and P. Meier, "Nonparametric Estimation from Incomplete Observations", J. Am. Stat. Assoc. 53, 1958.

    Args:
        days: Of death or of the last sign of life, shape (patient,).
        dead: Who died, shape (patient,).
    """
    steps, deaths = np.unique(days[dead], return_counts=True)
    shares = np.cumprod(1 - deaths / at_risk(days, steps))
    return np.concatenate([[0.0], steps]), np.concatenate([[1.0], shares])


def at_risk(days: Values, when: Values) -> NDArray[np.intp]:
    """Return how many patients were alive and seen just before each of these days."""
    return np.asarray(len(days) - np.searchsorted(np.sort(days), when, side="left"))
