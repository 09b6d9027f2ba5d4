"""Turn a case into the axial slices that a baseline network sees, and the network's output into a label map."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LABELS, LabelMap
from brats_ml.imaging.resize import resize_slices

# The values of the usual labels.
VALUES = tuple(LABELS.values())


def slice_range(depth: int, *, first: int, count: int | None) -> slice:
    """Return which axial slices a recipe uses of a volume of `depth` slices.

    The range is empty if the volume ends before `first`.
    """
    return slice(first, depth if count is None else min(first + count, depth))


def slice_inputs(image: NDArray[Any], *, size: int, first: int, count: int | None) -> NDArray[np.float32]:
    """Return a volume as network input: resized slices, divided by their maximum.

    The maximum is one number, taken over all channels and all slices used, as in the baseline.

    Args:
        image: The full canonical volume, shape (channel, X, Y, Z), channels in the recipe's order.
        size: Height and width of a slice as the network sees it.
        first: The first axial slice used.
        count: The number of slices used, or None for all from `first` on.

    Returns:
        Values up to 1, shape (slice, size, size, channel). If no value is positive, nothing is divided.
    """
    used = image[..., slice_range(image.shape[-1], first=first, count=count)]
    batch = np.stack([np.moveaxis(resize_slices(volume, (size, size)), -1, 0) for volume in used], axis=-1)
    peak = float(batch.max(initial=0.0))
    return batch / np.float32(peak) if peak > 0 else batch


def slice_targets(
    labels: LabelMap, *, size: int, first: int, count: int | None, values: Sequence[int] = VALUES
) -> NDArray[np.float32]:
    """Return a label map as the network's target.

    As in the baseline, labels are one-hot encoded first and resized afterwards, so targets are soft at borders.

    Args:
        labels: The full canonical label map, shape (X, Y, Z).
        size: Height and width of a slice as the network sees it.
        first: The first axial slice used.
        count: The number of slices used, or None for all from `first` on.
        values: The value of each class after the background.

    Returns:
        Shape (slice, size, size, class). The values of a pixel sum to 1 over the classes.
    """
    used = labels[..., slice_range(labels.shape[-1], first=first, count=count)]
    targets = np.zeros((used.shape[-1], size, size, 1 + len(values)), dtype=np.float32)
    targets[..., 0] = 1
    # Most slices have no tumour, so only the others are resized.
    tumour = np.flatnonzero(used.any(axis=(0, 1)))
    filled = np.ascontiguousarray(used[..., tumour])
    labels_of = [resize_slices(filled == value, (size, size)) for value in values]
    background = np.maximum(1 - np.add.reduce(labels_of), 0)
    targets[tumour] = np.moveaxis(np.stack([background, *labels_of]), (0, 3), (3, 0))
    return targets


def labels_from_probabilities(
    probabilities: NDArray[np.float32],
    *,
    full_shape: tuple[int, int, int],
    first: int,
    count: int | None,
    values: Sequence[int] = VALUES,
) -> LabelMap:
    """Return the label map at native resolution: the most probable class after resizing the probabilities.

    Args:
        probabilities: Shape (slice, size, size, class).
        full_shape: The shape of the canonical volume.
        first: The first axial slice used.
        count: The number of slices used, or None for all from `first` on.
        values: The value of each class after the background.

    Returns:
        Labels of shape `full_shape`. Slices that the recipe does not use are background.
    """
    rows, columns, depth = full_shape
    labels = np.zeros(full_shape, dtype=np.uint8)
    # This loop computes the argmax over classes in half the memory and a fraction of the time.
    best = resize_slices(np.moveaxis(probabilities[..., 0], 0, -1), (rows, columns))
    likeliest = np.zeros(best.shape, dtype=np.uint8)
    for index, value in enumerate(values, start=1):
        native = resize_slices(np.moveaxis(probabilities[..., index], 0, -1), (rows, columns))
        likeliest[native > best] = value
        np.maximum(best, native, out=best)
    labels[..., slice_range(depth, first=first, count=count)] = likeliest
    return labels


def native_probabilities(
    probabilities: NDArray[np.float32], *, full_shape: tuple[int, int, int], first: int, count: int | None
) -> NDArray[np.float32]:
    """Return the probability of one class at native resolution.

    Args:
        probabilities: Shape (slice, size, size).
        full_shape: The shape of the canonical volume.
        first: The first axial slice used.
        count: The number of slices used, or None for all from `first` on.

    Returns:
        Shape `full_shape`, between 0 and 1. It is 0 in slices that the recipe does not use.
    """
    rows, columns, depth = full_shape
    native = np.zeros(full_shape, dtype=np.float32)
    resized = resize_slices(np.moveaxis(probabilities, 0, -1), (rows, columns))
    native[..., slice_range(depth, first=first, count=count)] = np.clip(resized, 0, 1)
    return native
