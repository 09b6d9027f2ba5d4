"""Features of the survival models: age, the share of each sub-region in the brain's volume, shape and location."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LABELS, VALUES, LabelMap
from brats_ml.cohort.modalities import Modality
from brats_ml.imaging.shape import LOCATION, SHAPE, location_features, shape_features

# The image with the brain's voxels. Validation refuses a case in which images cover other voxels, so another one serves
# where a case lacks it.
BRAIN: Modality = "t1"
RATIOS = {label: f"{label.lower()}_ratio" for label in LABELS}
AGE = "age_years"
FEATURES = (AGE, *RATIOS.values())  # every table has them, and every estimator has them as its first columns
More = Literal["shape", "location"]
MORE: dict[More, tuple[str, ...]] = {"shape": SHAPE, "location": LOCATION}


def columns(more: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the features, including the optional groups in `more`, in a fixed order."""
    return FEATURES + tuple(name for group in get_args(More) if group in more for name in MORE[group])


def sub_region_ratios(labels: LabelMap, brain_voxels: int) -> dict[str, float]:
    """Return the share of each sub-region in the brain's volume.

    Args:
        labels: Canonical label map, shape (X, Y, Z), or a crop of it that holds the whole tumour.
        brain_voxels: Number of brain voxels, of the same size.

    Returns:
        `ncr_ratio`, `ed_ratio` and `et_ratio`, without unit.

    Raises:
        ValueError: The number of brain voxels is 0.
    """
    if brain_voxels <= 0:
        raise ValueError("the T1 volume holds no non-zero voxel, so there is no brain volume to divide by")
    counts = np.bincount(labels.ravel(), minlength=1 + max(VALUES.values()))
    return {RATIOS[label]: float(counts[value] / brain_voxels) for label, value in LABELS.items()}


def case_features(labels: LabelMap, image: NDArray[Any], *, more: Sequence[str] = ()) -> dict[str, float]:
    """Return the features of one case that come from its images: all of `columns(more)` except the age.

    Args:
        labels: Canonical label map, shape (X, Y, Z).
        image: T1, or another modality where the case has no T1, on the same voxels, zero outside the brain.
        more: Groups of `MORE`.

    Raises:
        ValueError: The image is zero everywhere.
    """
    brain = image != 0
    found = sub_region_ratios(labels, int(np.count_nonzero(brain)))
    if "shape" in more:
        found |= shape_features(labels)
    if "location" in more:
        found |= location_features(labels, brain)
    return found
