"""Overlap of masks and label maps: voxel counts, and the scores that follow from them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import VALUES, LabelMap

BoolVolume = NDArray[np.bool_]  # (X, Y, Z)
Confusion = NDArray[np.intp]  # (reference label, predicted label), background first
# Background and every label of any cohort.
CLASSES = 1 + max(VALUES.values())


@dataclass(frozen=True)
class Overlap:
    """Numbers of voxels that two masks share or do not share, and the scores that follow.

    Dice, IoU, sensitivity and precision follow the rule of BraTS for the Dice of empty masks: they are 1 if both masks
    are empty, and 0 if one of them is. So no score rewards a missed or an invented structure, no case drops out of a
    mean, and Dice is always the harmonic mean of sensitivity and precision.

    Attributes:
        both: Voxels of both masks, the true positives.
        predicted_only: Voxels of the prediction alone, the false positives.
        reference_only: Voxels of the reference alone, the false negatives.
        neither: Voxels of neither mask, the true negatives.
    """

    both: int
    predicted_only: int
    reference_only: int
    neither: int

    @property
    def dice(self) -> float:
        """Twice the common voxels divided by the sum of both masks."""
        return self._share(2 * self.both, 2 * self.both + self.predicted_only + self.reference_only)

    @property
    def iou(self) -> float:
        """Common voxels divided by the voxels of either mask."""
        return self._share(self.both, self.both + self.predicted_only + self.reference_only)

    @property
    def sensitivity(self) -> float:
        """Share of the reference that the prediction covers."""
        return self._share(self.both, self.both + self.reference_only)

    @property
    def precision(self) -> float:
        """Share of the prediction that the reference covers."""
        return self._share(self.both, self.both + self.predicted_only)

    @property
    def specificity(self) -> float:
        """Share of the voxels outside the reference that are outside the prediction; 1 if there are no such voxels."""
        outside = self.neither + self.predicted_only
        return self.neither / outside if outside else 1.0

    def _share(self, part: int, whole: int) -> float:
        if not self.both + self.predicted_only + self.reference_only:
            return 1.0
        return part / whole if whole else 0.0


def dice(reference: BoolVolume, prediction: BoolVolume) -> float:
    """Return the Dice coefficient of two masks of one shape, between 0 and 1. `Overlap` has the rule for empty masks.

    Raises:
        ValueError: The shapes differ.
    """
    check_shapes(reference, prediction)
    both = int(np.count_nonzero(reference & prediction))
    predicted, wanted = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    return Overlap(both, predicted - both, wanted - both, neither=reference.size + both - predicted - wanted).dice


def confusion(reference: LabelMap, predicted: LabelMap) -> Confusion:
    """Return the number of voxels of each pair of reference label and predicted label, shape (label, label).

    Raises:
        ValueError: The shapes differ, or a value is not a canonical label.
    """
    check_shapes(reference, predicted)
    highest = max(int(reference.max(initial=0)), int(predicted.max(initial=0)))
    if highest >= CLASSES:
        raise ValueError(f"label value {highest} is not canonical, which are 0 to {CLASSES - 1}")
    pairs = np.bincount((CLASSES * reference + predicted).ravel(), minlength=CLASSES**2)
    return pairs.reshape(CLASSES, CLASSES)


def overlap(pairs: Confusion, labels: Iterable[str]) -> Overlap:
    """Return the overlap of the structure that consists of `labels`.

    Args:
        pairs: Counts that `confusion` returns.
        labels: Names of labels, such as NCR.
    """
    inside = np.isin(np.arange(CLASSES), [VALUES[label] for label in labels])
    return Overlap(
        both=int(pairs[np.ix_(inside, inside)].sum()),
        predicted_only=int(pairs[np.ix_(~inside, inside)].sum()),
        reference_only=int(pairs[np.ix_(inside, ~inside)].sum()),
        neither=int(pairs[np.ix_(~inside, ~inside)].sum()),
    )


def check_shapes(reference: NDArray[np.generic], predicted: NDArray[np.generic]) -> None:
    """Raise an error if two volumes have different shapes.

    Raises:
        ValueError: The shapes differ.
    """
    if reference.shape != predicted.shape:
        raise ValueError(f"reference {reference.shape} and prediction {predicted.shape} must have one shape")
