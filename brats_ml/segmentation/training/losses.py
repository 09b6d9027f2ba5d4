"""The loss of the region recipes: binary cross-entropy and soft Dice, both in float32."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from brats_ml.cohort.labels import GLIOMA, LABEL_SETS

GLIOMA_REGIONS = LABEL_SETS[GLIOMA].region_values
# Keeps the Dice finite, and at 1 for a region that neither target nor prediction contains.
SMOOTH = 1.0


def region_targets(labels: Any, regions: Mapping[str, Sequence[int]] = GLIOMA_REGIONS) -> Any:
    """Return the regions of canonical labels as targets of the loss.

    Args:
        labels: Integers, shape (batch, ...).
        regions: The label values of each region.

    Returns:
        float32 zeros and ones, shape (batch, ..., region), in the order of `regions`.
    """
    every = {value for values in regions.values() for value in values}

    def target(values: Sequence[int]) -> Any:
        if set(values) == every:
            return ops.greater(labels, 0)
        return functools.reduce(ops.logical_or, [ops.equal(labels, value) for value in values])

    return ops.cast(ops.stack([target(values) for values in regions.values()], axis=-1), "float32")


def soft_dice(targets: Any, probabilities: Any, *, over_batch: bool) -> Any:
    """Return the soft Dice of each region, of the whole batch or averaged over patches.

    Args:
        targets: Zeros and ones, shape (batch, ..., region).
        probabilities: The probabilities, of the same shape.
        over_batch: Whether to sum over the batch before dividing. This gives steadier values for regions that few
            patches contain.

    Returns:
        Shape (region,).

    Source:
        Milletari et al. 2016, V-Net, arXiv:1606.04797. The denominator here is a sum of plain, not of squared values.
    """
    axes = tuple(range(0 if over_batch else 1, len(targets.shape) - 1))
    overlap = ops.sum(targets * probabilities, axis=axes)
    total = ops.sum(targets, axis=axes) + ops.sum(probabilities, axis=axes)
    dice = (2.0 * overlap + SMOOTH) / (total + SMOOTH)
    return dice if over_batch else ops.mean(dice, axis=0)


def dice_and_cross_entropy(targets: Any, logits: Any, *, over_batch: bool, known: Any = None) -> tuple[Any, Any]:
    """Return binary cross-entropy plus one minus the mean soft Dice, and the Dice of each region.

    Args:
        targets: Zeros and ones, shape (batch, ..., region).
        logits: The logits in float32, of the same shape.
        over_batch: The same as in `soft_dice`.
        known: Zeros and ones, shape (batch, region): whether the targets of a region are known in a sample. What is
            not known adds nothing to the loss. None if everything is known.
    """
    cross_entropy = ops.binary_crossentropy(targets, logits, from_logits=True)
    if known is None:
        dice = soft_dice(targets, ops.sigmoid(logits), over_batch=over_batch)
        return ops.mean(cross_entropy) + 1.0 - ops.mean(dice), dice
    counted = ops.reshape(known, (-1, *[1] * (len(targets.shape) - 2), targets.shape[-1]))
    share = ops.mean(known)
    # A region that is not known in a sample is empty in target and prediction there, so its Dice is 1 and has no slope.
    dice = soft_dice(targets * counted, ops.sigmoid(logits) * counted, over_batch=over_batch)
    if not over_batch:
        dice = 1.0 - (1.0 - dice) / ops.maximum(ops.mean(known, axis=0), 1e-6)
    return ops.mean(cross_entropy * counted) / share + 1.0 - ops.mean(dice), dice
