"""How well risks are in order with survival, where some patients were alive when last seen."""

import numpy as np
from numpy.typing import NDArray


def concordance(days: NDArray[np.float64], dead: NDArray[np.bool_], risk: NDArray[np.float64]) -> float:
    """Return the share of comparable pairs in which the earlier death has the higher risk; equal risks count half.

    F. E. Harrell et al., "Evaluating the Yield of Medical Tests", JAMA 247, 1982. A pair is comparable if the one with
    fewer days died, and of one day if one of the two died. Where no pair is, the answer is 0.5, which is chance.

    Args:
        days: Of death or of the last sign of life, shape (patient,).
        dead: Who died, shape (patient,).
        risk: The higher, the sooner death is expected, shape (patient,).
    """
    earlier = days[:, None] < days[None, :]
    outlived = (days[:, None] == days[None, :]) & ~dead[None, :]
    comparable = dead[:, None] & (earlier | outlived)
    if not comparable.any():
        return 0.5
    higher, equal = risk[:, None] > risk[None, :], risk[:, None] == risk[None, :]
    return float((higher[comparable] + 0.5 * equal[comparable]).mean())
