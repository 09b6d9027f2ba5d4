"""Make predictions with typical errors of a network from reference label maps."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brats_ml.cohort.labels import LABELS, LabelMap
from brats_ml.imaging.geometry import Box, label_box

MARGIN = 12


def likely_prediction(reference: LabelMap, *, seed: int, warp: float = 2.5, blobs: int = 25) -> LabelMap:
    """Return a reference label map with displaced borders and random balls of false tumour.

    Args:
        reference: Canonical label map, shape (X, Y, Z).
        seed: The seed of all random choices.
        warp: The standard deviation of the displacement along each axis, in voxels.
        blobs: The number of balls. They have a radius of 1 to 4 voxels and are not in the outer fifths of the volume.
    """
    rng = np.random.default_rng(seed)
    box = _surroundings(reference)
    predicted = np.zeros_like(reference)
    predicted[box] = _warped(reference[box], rng, warp)
    for _ in range(blobs):
        _add_ball(predicted, rng)
    return predicted


def shifted(labels: LabelMap, voxels: tuple[int, int, int]) -> LabelMap:
    """Return the label map shifted by whole voxels, with wrap-around."""
    return np.roll(labels, voxels, axis=(0, 1, 2))


def dilated(labels: LabelMap, voxels: int) -> LabelMap:
    """Return the label map with a rim of edema around the tumour, `voxels` wide."""
    grown = ndimage.binary_dilation(labels != 0, iterations=voxels)
    return np.where(grown & (labels == 0), LABELS["ED"], labels).astype(labels.dtype)


def speckled(labels: LabelMap, *, every: int = 32, radius: int = 2) -> LabelMap:
    """Return the label map with balls of false enhancing tumour around the tumour.

    Args:
        labels: Canonical label map, shape (X, Y, Z).
        every: The distance between the centres of the balls along each axis, in voxels.
        radius: The radius of a ball, in voxels.
    """
    squares = [(np.arange(size) % every - every // 2) ** 2 for size in labels.shape]
    squared = squares[0][:, None, None] + squares[1][:, None] + squares[2]
    predicted = labels.copy()
    box = _surroundings(labels)
    predicted[box][squared[box] <= radius**2] = LABELS["ET"]
    return predicted


def _surroundings(labels: LabelMap) -> Box:
    return tuple(
        slice(max(side.start - MARGIN, 0), min(side.stop + MARGIN, size))
        for side, size in zip(label_box(labels), labels.shape, strict=True)
    )


def _warped(labels: LabelMap, rng: np.random.Generator, warp: float) -> LabelMap:
    coarse = [max(size // 10, 2) for size in labels.shape]
    factors = [size / few for size, few in zip(labels.shape, coarse, strict=True)]
    moved: list[NDArray[np.intp]] = []
    for axis, size in enumerate(labels.shape):
        shift = warp * ndimage.zoom(rng.standard_normal(coarse), factors, order=1)
        along = np.arange(size).reshape([-1 if axis == other else 1 for other in range(3)])
        moved.append(np.clip(np.rint(along + shift), 0, size - 1).astype(np.intp))
    warped: LabelMap = labels[tuple(moved)]
    return warped


def _add_ball(labels: LabelMap, rng: np.random.Generator) -> None:
    radius = int(rng.integers(1, 5))
    centre = [int(rng.integers(size // 5, size - size // 5)) for size in labels.shape]
    box = tuple(slice(max(middle - radius, 0), middle + radius + 1) for middle in centre)
    squared = np.sum([(grid - middle) ** 2 for grid, middle in zip(np.mgrid[box], centre, strict=True)], axis=0)
    labels[box][squared <= radius**2] = rng.choice(list(LABELS.values()))
