"""Boxes within volumes: find one, cut it out, put it back."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)
Box = tuple[slice, ...]


def bounding_box(mask: NDArray[np.bool_]) -> Box:
    """Return the smallest box that holds every true voxel of `mask`, one slice an axis; empty for an empty mask."""
    sides = []
    for axis in range(mask.ndim):
        filled = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        sides.append(slice(int(filled[0]), int(filled[-1]) + 1) if filled.size else slice(0, 0))
    return tuple(sides)


def bounding_box_of_any(volumes: Sequence[NDArray[Any]]) -> Box:
    """Return the smallest box that holds every voxel other than 0 of any of the volumes, which have one shape."""
    filled = volumes[0] != 0
    for volume in volumes[1:]:
        filled |= volume != 0
    return bounding_box(filled)


def label_box(*maps: NDArray[np.unsignedinteger[Any]]) -> Box:
    """Return the smallest box that holds every label of any of the maps, which have one shape; empty for empty maps.

    What `bounding_box_of_any` gives, in a third of its time: it narrows the volume axis by axis and needs no copy of it
    in truth values.
    """
    either = np.bitwise_or.reduce(maps) if len(maps) != 2 else maps[0] | maps[1]
    box: list[slice] = []
    for axis in range(either.ndim):
        rest = tuple(other for other in range(either.ndim) if other != axis)
        filled = np.flatnonzero(either.max(axis=rest, initial=0))
        side = slice(int(filled[0]), int(filled[-1]) + 1) if filled.size else slice(0, 0)
        either = either[(slice(None),) * axis + (side,)]
        box.append(side)
    return tuple(box)


def crop(volume: NDArray[Scalar], box: Box) -> NDArray[Scalar]:
    """Return the part of a volume (..., X, Y, Z) inside `box`; axes before the box's own are kept whole."""
    inside: Any = (..., *box)
    cropped: NDArray[Scalar] = volume[inside]
    return cropped


def uncrop(volume: NDArray[Scalar], start: Sequence[int], full_shape: Sequence[int]) -> NDArray[Scalar]:
    """Put a cropped volume back, zero outside; the inverse of `crop` where nothing was cut off but zeros.

    Args:
        volume: Shape (..., x, y, z).
        start: First voxel of the crop along each of the last axes.
        full_shape: Size of each of the last axes before the crop.

    Returns:
        Shape (..., *full_shape), in the volume's own type.
    """
    leading, sizes = volume.shape[: -len(full_shape)], volume.shape[-len(full_shape) :]
    full = np.zeros((*leading, *full_shape), dtype=volume.dtype)
    box = tuple(slice(first, first + size) for first, size in zip(start, sizes, strict=True))
    crop(full, box)[...] = volume
    return full
