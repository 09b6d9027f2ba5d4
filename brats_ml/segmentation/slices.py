"""A case as the batch of axial slices that a 2D recipe sees, and back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import CLASSES, LABELS, LabelMap
from brats_ml.imaging.resize import resize_slices


def slice_range(depth: int, *, first: int, count: int | None) -> slice:
    """Return the axial slices of a volume of `depth` slices that a recipe uses; empty where none are left."""
    return slice(first, depth if count is None else min(first + count, depth))


def slice_inputs(image: NDArray[Any], *, size: int, first: int, count: int | None) -> NDArray[np.float32]:
    """Return a volume as network input: resized slices over the volume's one maximum.

    The baseline divides by the largest intensity over both of its modalities and all slices used.

    Args:
        image: Full canonical volume, shape (channel, X, Y, Z), channels in the recipe's order.
        size: Height and width of a slice seen by the network.
        first: First axial slice used.
        count: Number of slices used, or None for all that follow.

    Returns:
        Shape (slice, size, size, channel), at most 1; as it is where the volume has no positive value.
    """
    used = image[..., slice_range(image.shape[-1], first=first, count=count)]
    batch = np.stack([np.moveaxis(resize_slices(volume, (size, size)), -1, 0) for volume in used], axis=-1)
    peak = float(batch.max(initial=0.0))
    return batch / np.float32(peak) if peak > 0 else batch


def slice_targets(labels: LabelMap, *, size: int, first: int, count: int | None) -> NDArray[np.float32]:
    """Return a label map as the network's target: one-hot, then resized, so soft at borders, as the baseline does.

    Args:
        labels: Full canonical label map, shape (X, Y, Z).
        size: Height and width of a slice seen by the network.
        first: First axial slice used.
        count: Number of slices used, or None for all that follow.

    Returns:
        Shape (slice, size, size, class), summing to one over the classes.
    """
    used = labels[..., slice_range(labels.shape[-1], first=first, count=count)]
    targets = np.zeros((used.shape[-1], size, size, CLASSES), dtype=np.float32)
    targets[..., 0] = 1
    # Most slices have no tumour.
    tumour = np.flatnonzero(used.any(axis=(0, 1)))
    filled = np.ascontiguousarray(used[..., tumour])
    labels_of = [resize_slices(filled == value, (size, size)) for value in LABELS.values()]
    background = np.maximum(1 - np.add.reduce(labels_of), 0)
    targets[tumour] = np.moveaxis(np.stack([background, *labels_of]), (0, 3), (3, 0))
    return targets


def labels_from_probabilities(
    probabilities: NDArray[np.float32], *, full_shape: tuple[int, int, int], first: int, count: int | None
) -> LabelMap:
    """Return the label map at native resolution: probabilities resized back, then the likeliest class.

    Args:
        probabilities: Shape (slice, size, size, class).
        full_shape: Shape of the canonical volume.
        first: First axial slice that was used.
        count: Number of slices that were used, or None for all that follow.

    Returns:
        Shape `full_shape`; background in slices that the recipe does not look at.
    """
    rows, columns, depth = full_shape
    labels = np.zeros(full_shape, dtype=np.uint8)
    # One class after another: the argmax over all of them, at half its memory and a fraction of its time.
    best = resize_slices(np.moveaxis(probabilities[..., 0], 0, -1), (rows, columns))
    likeliest = np.zeros(best.shape, dtype=np.uint8)
    for value in range(1, probabilities.shape[-1]):
        native = resize_slices(np.moveaxis(probabilities[..., value], 0, -1), (rows, columns))
        likeliest[native > best] = value
        np.maximum(best, native, out=best)
    labels[..., slice_range(depth, first=first, count=count)] = likeliest
    return labels
