"""Scores that the baseline publishes, by its own formulas, for comparison with its published figures.

The scores do not measure what their names say, so each name starts with `baseline_`. They compare resized slices with
soft targets, most of them count background, and `baseline_mean_iou` does not compare classes at all. Every function
takes two arrays:

- `target`: one-hot or soft, shape (slice, size, size, class), classes in the order background, NCR, ED, ET, and a
  further label if the cohort has one;
- `predicted`: probabilities of the same shape.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LABELS

ClassMaps = NDArray[np.float32]  # (slice, size, size, class)

SMOOTH = 1.0
DICE_EPSILON = 1e-6
KERAS_EPSILON = 1e-7


def baseline_accuracy(target: ClassMaps, predicted: ClassMaps) -> float:
    """Return the share of pixels, background included, with the most probable class equal to the target's."""
    return float(np.mean(target.argmax(axis=-1) == predicted.argmax(axis=-1)))


def baseline_mean_iou(target: ClassMaps, predicted: ClassMaps) -> float:
    """Return the value of `keras.metrics.MeanIoU(num_classes=4)` for class maps without an argmax.

    The metric casts its inputs to integers, so every probability below 1 counts as 0. It compares the entries 0 and 1
    of the maps instead of the classes. Background everywhere scores about 0.97, and a right prediction with 95 %
    confidence scores 0.375. Our summary averages cases, while Keras would pool their counts.
    """
    classes = target.shape[-1]
    pairs = classes * target.astype(np.uint8) + predicted.astype(np.uint8)
    counts = np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)
    overlap = counts.diagonal()
    union = counts.sum(axis=0) + counts.sum(axis=1) - overlap
    return float(np.mean(overlap[union > 0] / union[union > 0]))


def baseline_dice_coef(target: ClassMaps, predicted: ClassMaps) -> float:
    """Return the soft Dice with unsquared denominators, smoothed by 1, averaged over background and labels."""
    overlap = _sums(target * predicted)
    return float(np.mean((2 * overlap + SMOOTH) / (_sums(target) + _sums(predicted) + SMOOTH)))


def baseline_dice_necrotic(target: ClassMaps, predicted: ClassMaps) -> float:
    """Return the soft Dice of NCR with squared denominators; 0 if the target has no NCR."""
    return _squared_dice(target[..., LABELS["NCR"]], predicted[..., LABELS["NCR"]])


def baseline_dice_edema(target: ClassMaps, predicted: ClassMaps) -> float:
    """Return the soft Dice of ED with squared denominators; 0 if the target has no ED."""
    return _squared_dice(target[..., LABELS["ED"]], predicted[..., LABELS["ED"]])


def baseline_dice_enhancing(target: ClassMaps, predicted: ClassMaps) -> float:
    """Return the soft Dice of ET with squared denominators; 0 if the target has no ET."""
    return _squared_dice(target[..., LABELS["ET"]], predicted[..., LABELS["ET"]])


def baseline_precision(target: ClassMaps, predicted: ClassMaps) -> float:
    """Return true positives divided by predicted positives, with all four class maps rounded to 0 or 1."""
    return _rounded_sum(target * predicted) / (_rounded_sum(predicted) + KERAS_EPSILON)


def baseline_sensitivity(target: ClassMaps, predicted: ClassMaps) -> float:
    """Return true positives divided by positives of the target, with all four class maps rounded to 0 or 1."""
    return _rounded_sum(target * predicted) / (_rounded_sum(target) + KERAS_EPSILON)


def baseline_specificity(target: ClassMaps, predicted: ClassMaps) -> float:
    """Return true negatives divided by negatives of the target, with all four class maps rounded to 0 or 1."""
    return _rounded_sum((1 - target) * (1 - predicted)) / (_rounded_sum(1 - target) + KERAS_EPSILON)


BASELINE_SCORES: dict[str, Callable[[ClassMaps, ClassMaps], float]] = {
    score.__name__: score
    for score in (
        baseline_accuracy,
        baseline_mean_iou,
        baseline_dice_coef,
        baseline_dice_necrotic,
        baseline_dice_edema,
        baseline_dice_enhancing,
        baseline_precision,
        baseline_sensitivity,
        baseline_specificity,
    )
}


def baseline_scores(target: ClassMaps, predicted: ClassMaps) -> dict[str, float]:
    """Return every score of the baseline for one case, by name.

    Args:
        target: One-hot or soft target, shape (slice, size, size, class).
        predicted: Probabilities of the same shape.
    """
    return {name: score(target, predicted) for name, score in BASELINE_SCORES.items()}


def _sums(maps: ClassMaps) -> NDArray[np.float64]:
    sums: NDArray[np.float64] = maps.sum(axis=(0, 1, 2), dtype=np.float64)
    return sums


def _squared_dice(target: NDArray[np.float32], predicted: NDArray[np.float32]) -> float:
    overlap = np.sum(np.abs(target * predicted), dtype=np.float64)
    squares = np.sum(target**2, dtype=np.float64) + np.sum(predicted**2, dtype=np.float64)
    return float(2 * overlap / (squares + DICE_EPSILON))


def _rounded_sum(maps: ClassMaps) -> float:
    return float(np.sum(np.round(np.clip(maps, 0, 1)), dtype=np.float64))
