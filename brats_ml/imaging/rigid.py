"""Rigid moves as matrices, and label maps on another grid."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.linalg import polar

from brats_ml.cohort.labels import LabelMap

Matrix = NDArray[np.float64]  # shape (4, 4), of homogeneous coordinates in mm


def inverse(matrix: Matrix) -> Matrix:
    """Return the matrix of the way back."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def rotation_degrees(matrix: Matrix) -> float:
    """Return the angle of the rotation of a rigid matrix, from 0 to 180.

    Source:
        Rodrigues: the trace of a rotation is 1 + 2 cos(angle).
    """
    cosine = (np.trace(matrix[:3, :3]) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def shift_mm(matrix: Matrix, point: Sequence[float]) -> float:
    """Return how far a matrix moves a point, such as the centre of a head."""
    moved = matrix @ [*point, 1.0]
    return float(np.linalg.norm(moved[:3] - np.asarray(point)))


def voxels_between(move: Matrix, source_affine: Matrix, target_affine: Matrix) -> Matrix:
    """Return the matrix from voxels of the source grid to those of the target grid.

    Args:
        move: From the world of the source to that of the target, in mm.
        source_affine: From voxels to the world of the source.
        target_affine: From voxels to the world of the target.
    """
    return np.asarray(inverse(target_affine) @ move @ source_affine)


def labels_on_grid(labels: LabelMap, matrix: Matrix, shape: Sequence[int]) -> LabelMap:
    """Return a label map on another grid: in each voxel the label with the largest share there.

    The share of a label is its mask, interpolated linearly. Nearest neighbours would make steps at its border.

    Args:
        labels: Shape (X, Y, Z).
        matrix: From voxels of the new grid to those of the labels, as `voxels_between` returns it.
        shape: The shape of the new grid.
    """
    found: LabelMap = np.zeros(tuple(shape), dtype=labels.dtype)
    largest = share_on_grid((labels == 0).astype(np.float32), matrix, shape, outside=1.0)
    for value in np.unique(labels[labels != 0]):
        share = share_on_grid((labels == value).astype(np.float32), matrix, shape)
        found[share > largest] = value
        np.maximum(largest, share, out=largest)
    return found


def share_on_grid(
    share: NDArray[np.float32], matrix: Matrix, shape: Sequence[int], *, outside: float = 0.0
) -> NDArray[np.float32]:
    """Return a volume on another grid by linear interpolation; `outside` is its value beyond its edge."""
    return np.asarray(
        ndimage.affine_transform(share, matrix, output_shape=tuple(shape), order=1, mode="constant", cval=outside)
    )


def rigid_part(matrix: Matrix, *, centre: NDArray[np.float64]) -> Matrix:
    """Return the rotation that is nearest to an affine matrix, and the shift by which the centre stays where it was.

    Args:
        matrix: An affine matrix (4, 4) in mm.
        centre: A point (3,) of the world that the matrix leads to.

    Source:
        Higham 1989, "Matrix nearness problems and applications": the orthogonal factor of the polar decomposition.
    """
    rotation, _ = polar(matrix[:3, :3])
    found = np.eye(4)
    found[:3, :3] = rotation
    found[:3, 3] = centre - rotation @ (np.linalg.inv(matrix) @ [*centre, 1.0])[:3]
    return found
