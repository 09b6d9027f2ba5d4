"""Concordance of risk and survival, for patients who died and patients who were alive when last seen."""

import numpy as np
from numpy.typing import NDArray


def concordance(days: NDArray[np.float64], dead: NDArray[np.bool_], risk: NDArray[np.float64]) -> float:
    """Return the share of comparable pairs in which the earlier death has the higher risk; equal risks count half.

    F. E. Harrell et al., "Evaluating the Yield of Medical Tests", JAMA 247, 1982. A pair is comparable if the patient
    with fewer days died. A pair with equal days is comparable if exactly one of the two died. Without a comparable pair
    the concordance is 0.5, which is chance.

    Args:
        days: Day of death, or the last day on which the patient was known to be alive, shape (patient,).
        dead: Who died, shape (patient,).
        risk: Higher for an earlier expected death, shape (patient,).
    """
    earlier = days[:, None] < days[None, :]
    outlived = (days[:, None] == days[None, :]) & ~dead[None, :]
    comparable = dead[:, None] & (earlier | outlived)
    if not comparable.any():
        return 0.5
    higher, equal = risk[:, None] > risk[None, :], risk[:, None] == risk[None, :]
    return float((higher[comparable] + 0.5 * equal[comparable]).mean())
