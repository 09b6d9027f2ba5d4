"""What the survival classifiers see of a patient: age, and each sub-region's volume by the brain's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LABELS, LabelMap

RATIOS = {label: f"{label.lower()}_ratio" for label in LABELS}
FEATURES = ("age_years", *RATIOS.values())  # the order of every estimator's columns


def sub_region_ratios(labels: LabelMap, brain_voxels: int) -> dict[str, float]:
    """Return the share of each sub-region in the brain's volume.

    Args:
        labels: Canonical label map, shape (X, Y, Z), or any crop of it that holds the whole tumour.
        brain_voxels: Voxels of the same size that are brain.

    Returns:
        `ncr_ratio`, `ed_ratio` and `et_ratio`, without unit.

    Raises:
        ValueError: There is no brain to divide by.
    """
    if brain_voxels <= 0:
        raise ValueError("the T1 volume holds no non-zero voxel, so there is no brain volume to divide by")
    counts = np.bincount(labels.ravel(), minlength=1 + max(LABELS.values()))
    return {RATIOS[label]: float(counts[value] / brain_voxels) for label, value in LABELS.items()}


def case_features(labels: LabelMap, t1: NDArray[Any]) -> dict[str, float]:
    """Return what the images of one case give: the ratios of `FEATURES`; the brain is where T1 is not zero.

    Args:
        labels: Canonical label map, shape (X, Y, Z).
        t1: T1 volume, on the same voxels or cropped around the brain, zero outside it.

    Raises:
        ValueError: `t1` is zero everywhere.
    """
    return sub_region_ratios(labels, int(np.count_nonzero(t1)))
