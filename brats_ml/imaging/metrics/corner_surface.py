"""The surface of a mask between its voxels, with its area, as DeepMind's surface-distance places and weighs it.

The points of the surface are the corners that a voxel of the mask shares with a voxel outside it. The eight voxels
around a corner are the bits of its code, from 1 to 254. Triangles by marching cubes give each code its area. The codes
fall into 20 classes, because mirroring and turning the eight voxels turns the triangles along with them.
"""

from functools import cache
from itertools import permutations, product

import numpy as np
from numpy.typing import NDArray

BoolVolume = NDArray[np.bool_]
Corners = NDArray[np.uint8]  # the code of each corner, one corner more than voxels along each axis

INSIDE = 255

# The normals of the triangles at unit spacing, without signs; the length of a normal is the area of its triangle.
# The values are those of `neighbour_code_to_normals` in surface-distance 0.1.
_EIGHTH, _QUARTER, _THREE = (1 / 8, 1 / 8, 1 / 8), (1 / 4, 1 / 4, 1 / 4), (3 / 8, 3 / 8, 3 / 8)
_FLAT = (1 / 2, 0.0, 0.0)
_XY, _XZ, _YZ = (1 / 4, 1 / 4, 0.0), (1 / 4, 0.0, 1 / 4), (0.0, 1 / 4, 1 / 4)
_TRIANGLES: dict[int, tuple[tuple[float, float, float], ...]] = {
    1: (_EIGHTH,),
    3: (_XY, _XY),
    6: (_EIGHTH,) * 2,
    7: (_EIGHTH, _QUARTER, _FLAT),
    15: (_FLAT, _FLAT),
    22: (_EIGHTH,) * 3,
    23: (_EIGHTH, _EIGHTH, _QUARTER, _QUARTER),
    24: (_EIGHTH,) * 2,
    25: (_YZ, _YZ, _EIGHTH),
    27: (_YZ, _EIGHTH, _XZ, _THREE),
    30: (_EIGHTH, _EIGHTH, _QUARTER, _FLAT),
    31: (_EIGHTH, _QUARTER, _FLAT),
    60: (_XY,) * 4,
    61: (_EIGHTH, _XY, _XY),
    63: (_XY, _XY),
    105: (_EIGHTH,) * 4,
    107: (_EIGHTH,) * 3,
    111: (_EIGHTH,) * 2,
    126: (_EIGHTH,) * 2,
    127: (_EIGHTH,),
}
_BIT = 1 << np.arange(7, -1, -1).reshape(2, 2, 2)  # of each of the eight voxels


def corner_codes(mask: BoolVolume) -> Corners:
    """Return the code of every corner of a mask (X, Y, Z), shape (X + 1, Y + 1, Z + 1); outside is background."""
    codes = np.zeros([size + 1 for size in mask.shape], dtype=np.uint8)
    voxels = mask.view(np.uint8)
    for before in product((0, 1), repeat=3):
        # The voxel before a corner along an axis is one position back, so its bit moves one position on.
        places = tuple(slice(1 - one, 1 - one + size) for one, size in zip(before, mask.shape, strict=True))
        codes[places] |= voxels << np.uint8(7 - (before[0] * 4 + before[1] * 2 + before[2]))
    return codes


def is_surface(codes: Corners) -> BoolVolume:
    """Return which corners are on the surface."""
    return (codes - np.uint8(1)) < np.uint8(INSIDE - 1)


@cache
def corner_areas(spacing_mm: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the area of the surface by code in mm2, shape (256,), which must not be changed.

    Args:
        spacing_mm: Voxel size along each axis.
    """
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    sides = np.roll(spacing, -1) * np.roll(spacing, 1)  # the face of a voxel across each axis
    areas = np.zeros(256)
    for code, triangles in _triangles().items():
        areas[code] = np.linalg.norm(np.array(triangles) * sides, axis=1).sum()
    return areas


@cache
def _triangles() -> dict[int, list[tuple[float, ...]]]:
    """Return the triangles of every code, from those of one code of each class."""
    found: dict[int, list[tuple[float, ...]]] = {}
    for code, triangles in _TRIANGLES.items():
        filled = (code & _BIT) > 0
        for axes in permutations(range(3)):
            turned = filled.transpose(axes)
            for steps in product((1, -1), repeat=3):
                mirrored = turned[tuple(slice(None, None, step) for step in steps)]
                found[int(_BIT[mirrored].sum())] = [tuple(normal[axis] for axis in axes) for normal in triangles]
    return found
