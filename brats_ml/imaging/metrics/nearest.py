"""Distances from each point of one surface to the nearest point of another.

A lookup finds distances of up to a few steps, ring by ring of points at the same distance, and a KD-tree measures the
rest. Both are exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

BoolVolume = NDArray[np.bool_]  # (X, Y, Z)
Millimetres = NDArray[np.float64]

# Most of a likely prediction is this near, and each ring costs a lookup of what remains.
NEAR_STEPS = 2.5


@dataclass(frozen=True)
class Points:
    """Points of a grid, with a margin that the longest step of a lookup cannot leave.

    Attributes:
        filled: Whether a position holds a point, flattened.
        positions: The positions with a point, in ascending order.
        shape: Shape of the grid with its margin.
        spacing_mm: Distance of neighbours along each axis.
    """

    filled: NDArray[np.bool_]
    positions: NDArray[np.intp]
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]

    def at_mm(self, positions: NDArray[np.intp]) -> Millimetres:
        """Return the coordinates of positions, shape (point, 3)."""
        places = np.stack(np.unravel_index(positions, self.shape), axis=1)
        return np.asarray(places * np.array(self.spacing_mm), dtype=np.float64)


def points(surface: BoolVolume, *, spacing_mm: Sequence[float]) -> Points:
    """Return the points of a surface, which is a mask of positions.

    Args:
        surface: Shape (X, Y, Z).
        spacing_mm: Distance of neighbours along each axis.
    """
    spacing = tuple(map(float, spacing_mm))
    margin, _ = _rings(spacing)
    padded = np.pad(surface, [(side, side) for side in margin])
    filled = padded.ravel()
    return Points(filled, np.flatnonzero(filled), padded.shape, spacing)


def nearest_mm(source: Points, target: Points) -> Millimetres:
    """Return the distance from each point of `source` to the nearest of `target`, in the order of `positions`.

    Both need the same grid, and `target` at least one point.
    """
    distances = np.zeros(source.positions.size)
    remaining = np.flatnonzero(~target.filled[source.positions])
    for distance, offsets in _rings(source.spacing_mm)[1]:
        if not remaining.size:
            return distances
        steps = offsets @ np.array([source.shape[1] * source.shape[2], source.shape[2], 1])
        places = source.positions[remaining]
        met = target.filled[places + steps[0]]
        for step in steps[1:]:
            met |= target.filled[places + step]
        distances[remaining[met]] = distance
        remaining = remaining[~met]
    if remaining.size:
        # A balanced tree takes longer to build than it saves on the few points of a query.
        tree = KDTree(target.at_mm(target.positions), leafsize=32, balanced_tree=False, compact_nodes=False)
        distances[remaining] = tree.query(source.at_mm(source.positions[remaining]))[0]
    return distances


@cache
def _rings(spacing: tuple[float, ...]) -> tuple[tuple[int, ...], list[tuple[float, NDArray[np.intp]]]]:
    """Return the margin that lookups need, and each distance with the offsets (offset, 3) that have it."""
    reach = NEAR_STEPS * float(np.cbrt(np.prod(spacing)))
    margin = tuple(max(int(reach // size), 1) for size in spacing)
    offsets = np.array(list(product(*(range(-side, side + 1) for side in margin))))
    distances = np.sqrt(((offsets * np.array(spacing)) ** 2).sum(axis=1))
    within = np.unique(distances[(distances > 0) & (distances <= reach)])
    return margin, [(float(distance), offsets[distances == distance].astype(np.intp)) for distance in within]
