"""The loss of the region recipes: binary cross-entropy and soft Dice, both in float32."""

from typing import Any

from keras import ops

# Keeps the Dice finite, and at 1 for a region that neither target nor prediction contains.
SMOOTH = 1.0


def region_targets(labels: Any) -> Any:
    """Return the regions of canonical labels as targets of the loss.

    Args:
        labels: Integers, shape (batch, ...): 1 NCR, 2 ED, 3 ET.

    Returns:
        float32 zeros and ones, shape (batch, ..., 3), in the order WT, TC, ET.
    """
    enhancing = ops.equal(labels, 3)
    core = ops.logical_or(enhancing, ops.equal(labels, 1))
    return ops.cast(ops.stack([ops.greater(labels, 0), core, enhancing], axis=-1), "float32")


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


def dice_and_cross_entropy(targets: Any, logits: Any, *, over_batch: bool) -> tuple[Any, Any]:
    """Return binary cross-entropy plus one minus the mean soft Dice, and the Dice of each region.

    Args:
        targets: Zeros and ones, shape (batch, ..., region).
        logits: The logits in float32, of the same shape.
        over_batch: The same as in `soft_dice`.
    """
    cross_entropy = ops.mean(ops.binary_crossentropy(targets, logits, from_logits=True))
    dice = soft_dice(targets, ops.sigmoid(logits), over_batch=over_batch)
    return cross_entropy + 1.0 - ops.mean(dice), dice
