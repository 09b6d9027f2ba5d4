"""Give each predicted volume an interval that has the true volume in a stated share of cases.

The intervals are conformal: they hold for any network, as long as the new case is exchangeable with the held-out cases
that they come from. Errors are measured on the cube root of the volume, in mm, since a wrong border shifts the surface
by so many mm whatever the size of the tumour, and since an absent region has a cube root too.
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Added to the expected loss of Dice, so that a certain prediction still has an interval.
LEAST_DIFFICULTY = 0.1


def difficulty(expected_dice: float) -> float:
    """Return how wide the interval of a region is relative to that of others: its expected loss of Dice, and 0.1."""
    return 1 - expected_dice + LEAST_DIFFICULTY


def half_width(
    predicted_mm3: Sequence[float], true_mm3: Sequence[float], difficulties: Sequence[float], *, coverage: float
) -> float | None:
    """Return the half width of an interval of difficulty 1, in mm on the cube root of a volume.

    Args:
        predicted_mm3: The predicted volumes of one region, of cases that the network has not seen.
        true_mm3: The true volumes of the same cases.
        difficulties: The `difficulty` of each.
        coverage: The share of new cases with the true volume in their interval.

    Returns:
        None if there are too few cases: 90 % needs ten.

    Source:
        Bostrom et al. 2017, Accelerating Difficulty Estimation for Conformal Regression Forests,
        doi:10.1007/s10472-017-9539-9, by the package crepes.
    """
    with warnings.catch_warnings():  # crepes warns of too few cases, and its import changes the filters
        from crepes import ConformalRegressor

        warnings.simplefilter("ignore")
        residuals = np.cbrt(np.array(true_mm3, dtype=float)) - np.cbrt(np.array(predicted_mm3, dtype=float))
        regressor = ConformalRegressor().fit(residuals=residuals, sigmas=np.array(difficulties, dtype=float))
        (interval,) = regressor.predict_int(y_hat=np.zeros(1), sigmas=np.ones(1), confidence=coverage)
    return float(interval[1]) if math.isfinite(interval[1]) else None


def volume_interval(predicted_mm3: float, width: float) -> tuple[float, float]:
    """Return the interval of a volume in mm3.

    Args:
        predicted_mm3: The predicted volume.
        width: The half width of its interval on the cube root, in mm.
    """
    middle = float(np.cbrt(predicted_mm3))
    return max(middle - width, 0.0) ** 3, (middle + width) ** 3


def covered(
    predicted_mm3: Sequence[float], true_mm3: Sequence[float], difficulties: Sequence[float], *, coverage: float
) -> NDArray[np.bool_] | None:
    """Return of each case whether an interval by all the other cases has its true volume; None with too few cases."""
    found = []
    for at, (predicted, true, own) in enumerate(zip(predicted_mm3, true_mm3, difficulties, strict=True)):
        others = [[*values[:at], *values[at + 1 :]] for values in (predicted_mm3, true_mm3, difficulties)]
        width = half_width(others[0], others[1], others[2], coverage=coverage) if others[0] else None
        if width is None:
            return None
        low, high = volume_interval(predicted, width * own)
        found.append(low <= true <= high)
    return np.array(found, dtype=np.bool_) if found else None
