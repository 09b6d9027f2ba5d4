"""Overlap of label maps, counted as the BraTS challenge counts it."""

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LABELS, REGIONS, LabelMap, region_mask

BoolVolume = NDArray[np.bool_]  # (X, Y, Z)

CASE_DICE = (*(f"dice_{region}" for region in REGIONS), *(f"dice_label_{label}" for label in LABELS))


def dice(reference: BoolVolume, prediction: BoolVolume) -> float:
    """Return the Dice coefficient of two masks of one shape, between 0 and 1.

    Where neither mask holds a voxel the score is 1, where only one of them does it is 0: the rule by which BraTS scores
    a case without the structure, so that finding nothing there is right and inventing something is wrong.

    Raises:
        ValueError: The shapes differ.
    """
    if reference.shape != prediction.shape:
        raise ValueError(f"reference {reference.shape} and prediction {prediction.shape} must have one shape")
    total = np.count_nonzero(reference) + np.count_nonzero(prediction)
    if total == 0:
        return 1.0
    return 2 * np.count_nonzero(reference & prediction) / total


def case_dice(reference: LabelMap, predicted: LabelMap) -> dict[str, float]:
    """Return the Dice of every region and every label of one case.

    Regions (WT, TC, ET) are what BraTS ranks by; labels (NCR, ED, ET) are what a network of four classes predicts.

    Args:
        reference: Canonical label map, shape (X, Y, Z).
        predicted: Canonical label map of the same shape.

    Returns:
        One value for each name in `CASE_DICE`.

    Raises:
        ValueError: The shapes differ.
    """
    regions = {
        f"dice_{region}": dice(region_mask(reference, region), region_mask(predicted, region)) for region in REGIONS
    }
    labels = {f"dice_label_{label}": dice(reference == value, predicted == value) for label, value in LABELS.items()}
    return regions | labels
