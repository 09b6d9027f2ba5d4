"""Measure a predicted label map for what tumours do not do, without a reference."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brats_ml.cohort.labels import LabelMap, region_mask
from brats_ml.imaging.geometry import bounding_box

# The measures, and what each of them is.
MEASURES = {
    "brain_share": "share of the brain that is tumour",
    "scattered_share": "share of the tumour outside its largest piece",
    "hole_share": "share of the tumour's outline that is hollow",
    "mirrored_share": "share of the tumour that has tumour on the other side of the brain",
    "unnested_share": "share of the enhancing tumour outside the core, before the labels were nested",
}


def plausibility(
    labels: LabelMap, brain: NDArray[np.bool_], *, enhancing: NDArray[np.bool_], core: NDArray[np.bool_]
) -> dict[str, float]:
    """Return the `MEASURES` of a prediction; all are 0 if there is no tumour.

    Args:
        labels: Canonical labels, shape (X, Y, Z); X runs across the head.
        brain: The brain mask, of the same shape.
        enhancing: The voxels that are enhancing tumour by their own probability, of any shape.
        core: The voxels that are core by their own probability, of the same shape as `enhancing`.
    """
    tumour = region_mask(labels, "WT")
    predicted = int(np.count_nonzero(enhancing))
    unnested = float(np.count_nonzero(enhancing & ~core) / predicted) if predicted else 0.0
    if not tumour.any():
        return dict.fromkeys(MEASURES, 0.0) | {"unnested_share": unnested}
    size = int(np.count_nonzero(tumour))
    box = bounding_box(tumour)
    pieces, _ = ndimage.label(tumour[box], structure=np.ones((3, 3, 3)))
    # A resection cavity within the tumour is no hole.
    solid = tumour[box] | region_mask(labels[box], "RC")
    filled = int(np.count_nonzero(ndimage.binary_fill_holes(solid)))
    return {
        "brain_share": size / max(int(np.count_nonzero(brain)), 1),
        "scattered_share": 1 - int(np.bincount(pieces.ravel())[1:].max()) / size,
        "hole_share": 1 - int(np.count_nonzero(solid)) / filled,
        "mirrored_share": _mirrored_share(tumour, brain),
        "unnested_share": unnested,
    }


def implausible(measures: dict[str, float], limits: dict[str, float]) -> list[str]:
    """Return one sentence per measure that exceeds its limit."""
    return [
        f"{MEASURES[name]} {measures[name]:.2f}, more than {limit:g}"
        for name, limit in limits.items()
        if measures[name] > limit
    ]


def _mirrored_share(tumour: NDArray[np.bool_], brain: NDArray[np.bool_]) -> float:
    """Return the share of the tumour that overlaps its mirror image about the middle of the brain's box."""
    if not brain.any():
        return 0.0
    inside = tumour[bounding_box(brain)]
    return int(np.count_nonzero(inside & inside[::-1])) / max(int(np.count_nonzero(inside)), 1)
