"""Run a network of patches over a whole volume: overlapping windows, Gaussian weights, mirrored copies."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Maps patches (batch, *patch, channel) to one value per voxel and region, (batch, *patch, region).
Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Axes = tuple[int, ...]


def window_starts(size: int, patch: int, overlap: float) -> list[int]:
    """Return the first voxel of each window along an axis.

    Windows are evenly spaced. The first and the last one touch the ends of the axis.

    Args:
        size: The voxels along the axis, at least `patch`.
        patch: The voxels of a window.
        overlap: The smallest share of a window that the next one repeats, less than 1.
    """
    step = max(patch * (1 - overlap), 1)
    count = math.ceil((size - patch) / step) + 1
    return [round(start) for start in np.linspace(0, size - patch, count)]


def axis_weights(size: int, patch: int, overlap: float) -> NDArray[np.float32]:
    """Return the weight of each window along an axis at each of its voxels, shape (window, patch).

    The weight is a Gaussian around the middle of the window with a standard deviation of patch / 8, since a network
    predicts worst at the border of its window. The weights of all windows at a voxel sum to 1.

    Source:
        Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z.
    """
    bell = np.exp(-0.5 * ((np.arange(patch) - (patch - 1) / 2) / (patch / 8)) ** 2)
    starts = window_starts(size, patch, overlap)
    total = np.zeros(size)
    for start in starts:
        total[start : start + patch] += bell
    return np.stack([bell / total[start : start + patch] for start in starts]).astype(np.float32)


def mirrored_axes(count: int) -> list[Axes]:
    """Return every combination of the first `count` axes, one per mirrored copy, starting with no axis at all."""
    return [tuple(axis for axis in range(count) if chosen[axis]) for chosen in product((False, True), repeat=count)]


def windows(brain: NDArray[np.bool_], patch: Sequence[int], overlap: float) -> list[Axes]:
    """Return the places of the windows that contain any brain.

    Args:
        brain: The brain mask, shape (X, Y, Z).
        patch: The voxels of a window along each axis.
        overlap: The smallest share of a window that the next one repeats.

    Returns:
        For each window, its index along each axis. The index counts the `window_starts` of the volume after padding it
        to at least one patch.
    """
    padded = _padded(brain, patch)
    grid = [window_starts(size, length, overlap) for size, length in zip(padded.shape, patch, strict=True)]
    numbers = product(*(range(len(starts)) for starts in grid))
    return [place for place in numbers if padded[_box(place, grid, patch)].any()]


def sliding_window_inference(
    image: NDArray[np.float32],
    predict: Predict,
    *,
    brain: NDArray[np.bool_],
    patch: Sequence[int],
    overlap: float,
    mirrors: Sequence[Axes] = ((),),
    neighbours: int = 0,
    regions: int = 3,
    batch: int = 1,
) -> NDArray[np.float32]:
    """Return the mean prediction at every voxel of the brain, weighted over the windows that contain the voxel.

    A volume smaller than a patch is centred in the patch and padded with zeros. Windows without brain are skipped.

    Args:
        image: Shape (channel, X, Y, Z), 0 outside the brain.
        predict: The function from patches (batch, *patch, channel) to values (batch, *patch, region).
        brain: The brain mask, shape (X, Y, Z).
        patch: The voxels of a window along each axis. With two axes the network sees axial planes, shape (batch, x, y,
            channel). The channels are those of the first neighbouring slice, then those of the next one, and so on.
            Slices beyond the volume are 0.
        overlap: The smallest share of a window that the next one repeats, less than 1.
        mirrors: The axes of each copy. A copy is mirrored before the network sees it, and mirrored back afterwards.
        neighbours: The slices on each side that the network sees with each plane.
        regions: The number of values per voxel.
        batch: The windows per call of the network.

    Returns:
        Shape (region, X, Y, Z), exactly 0 outside the brain.
    """
    size = tuple(patch) if len(patch) == 3 else (*patch, 1)
    padded = np.stack([_padded(channel, size) for channel in image])
    extent = padded.shape[1:]
    grid = [window_starts(*axis, overlap) for axis in zip(extent, size, strict=True)]
    weights = [axis_weights(*axis, overlap) for axis in zip(extent, size, strict=True)]
    padded = np.pad(padded, [(0, 0), (0, 0), (0, 0), (neighbours, neighbours)])
    mean = np.zeros((regions, *extent), dtype=np.float32)
    for places in _batches(windows(brain, size, overlap), batch):
        patches = np.stack([_patch(padded, place, grid, size, neighbours) for place in places])
        if len(patch) == 2:
            patches = patches[:, :, :, 0]
        values = _mirrored_mean(patches, predict, mirrors)
        for place, value in zip(places, values, strict=True):
            along_x, along_y, along_z = (weight[number] for weight, number in zip(weights, place, strict=True))
            bell = along_x[:, None, None] * along_y[:, None] * along_z
            mean[(slice(None), *_box(place, grid, size))] += bell * np.moveaxis(value.reshape(*size, regions), -1, 0)
    inside = tuple(
        slice(before, before + length) for before, length in zip(_margins(image, size), brain.shape, strict=True)
    )
    return np.where(brain, mean[(slice(None), *inside)], np.float32(0))


def _mirrored_mean(patches: NDArray[np.float32], predict: Predict, mirrors: Sequence[Axes]) -> NDArray[np.float32]:
    if not mirrors:
        raise ValueError("mirrors is empty; pass at least one copy, which may be mirrored along no axis")
    total: NDArray[np.float32] = np.float32(0)  # type: ignore[assignment]  # takes the shape of the first prediction
    for axes in mirrors:
        flipped = tuple(axis + 1 for axis in axes)
        total = total + np.flip(predict(np.flip(patches, flipped)), flipped)
    return total / np.float32(len(mirrors))


def _patch(
    padded: NDArray[np.float32], place: Axes, grid: Sequence[Sequence[int]], size: Axes, neighbours: int
) -> NDArray[np.float32]:
    """Return one window, shape (x, y, z, channel); the channels include those of neighbouring slices."""
    along_x, along_y, along_z = _box(place, grid, size)
    shifted = [
        padded[:, along_x, along_y, along_z.start + offset : along_z.stop + offset]
        for offset in range(2 * neighbours + 1)
    ]
    return np.moveaxis(np.concatenate(shifted), 0, -1)


def _box(place: Axes, grid: Sequence[Sequence[int]], size: Sequence[int]) -> tuple[slice, ...]:
    starts = [axis[number] for axis, number in zip(grid, place, strict=True)]
    return tuple(slice(start, start + length) for start, length in zip(starts, size, strict=True))


def _margins(image: NDArray[Any], size: Sequence[int]) -> list[int]:
    """Return the number of zeros to put before a volume (..., X, Y, Z) along each axis, to centre it in a patch."""
    return [max(length - present, 0) // 2 for length, present in zip(size, image.shape[-3:], strict=True)]


def _padded(volume: NDArray[Any], size: Sequence[int]) -> NDArray[Any]:
    missing = [max(length - present, 0) for length, present in zip(size, volume.shape, strict=True)]
    before = _margins(volume, size)
    return np.pad(volume, [(first, total - first) for first, total in zip(before, missing, strict=True)])


def _batches(places: Sequence[Axes], batch: int) -> Iterator[Sequence[Axes]]:
    return (places[at : at + batch] for at in range(0, len(places), batch))
