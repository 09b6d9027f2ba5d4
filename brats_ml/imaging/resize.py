"""Axial slices at another size."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def resize_slices(volume: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize every axial slice bilinearly, with half-pixel centres, edges held and no smoothing before shrinking.

    These are the conventions of OpenCV's INTER_LINEAR and of `tf.image.resize`, which the baseline uses.

    Args:
        volume: Shape (X, Y, Z), finite.
        size: Rows and columns wanted.

    Returns:
        Shape (rows, columns, Z).
    """
    height, width, depth = volume.shape
    rows, columns = size
    # Linear along each axis; products with sparse matrices leave the other cores to a network that trains meanwhile.
    tall = _interpolation(height, rows) @ volume.astype(np.float32).reshape(height, -1)
    across = tall.reshape(rows, width, depth).swapaxes(0, 1).reshape(width, -1)
    resized = (_interpolation(width, columns) @ across).reshape(columns, rows, depth)
    return np.ascontiguousarray(resized.swapaxes(0, 1))


def _interpolation(source: int, target: int) -> sparse.csr_array:
    """Return the weights, shape (target, source), of `source` samples in each of `target` ones over the same extent."""
    centres = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    distances = np.abs(centres[:, None] - np.arange(source))
    return sparse.csr_array(np.maximum(1 - distances, 0).astype(np.float32))
