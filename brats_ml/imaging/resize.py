"""Axial slices at another size."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def resize_slices(volume: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize every axial slice bilinearly, with half-pixel centres, edges held and no smoothing before shrinking.

    These are the conventions of OpenCV's INTER_LINEAR and of `tf.image.resize`, which the seed system uses.

    Args:
        volume: Shape (X, Y, Z), finite.
        size: Rows and columns wanted.

    Returns:
        Shape (rows, columns, Z).
    """
    height, width, depth = volume.shape
    rows, columns = size
    # Interpolation is linear along each axis, and a dense matrix product beats gathering two neighbours a pixel.
    tall = _interpolation(height, rows) @ volume.astype(np.float32).reshape(height, -1)
    resized: NDArray[np.float32] = _interpolation(width, columns) @ tall.reshape(rows, width, depth)
    return resized


def _interpolation(source: int, target: int) -> NDArray[np.float32]:
    """Return the weights, shape (target, source), of `source` samples in each of `target` ones over the same extent."""
    centres = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    distances = np.abs(centres[:, None] - np.arange(source))
    weights: NDArray[np.float32] = np.maximum(1 - distances, 0).astype(np.float32)
    return weights
