"""Distance between the surfaces of two masks: the 95th percentile Hausdorff distance, by both common definitions.

One pass measures several masks of a case. A volume of `uint8` holds up to eight masks, mask k in bit k. A surface has
the same definition as in MedPy and MONAI: the voxels of a mask with at least one of six neighbours outside the mask.
Everything beyond the volume is outside.

Most of a predicted surface is within a few voxels of the reference. A lookup finds such distances, ring by ring of
voxels at the same distance. If the percentile is beyond the last ring, a KD-tree measures the remaining distances. Both
ways are exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import floor

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

BitVolume = NDArray[np.uint8]  # (X, Y, Z), mask k in bit k
Voxels = NDArray[np.intp]  # positions in a flattened volume, shape (voxel,)
Millimetres = NDArray[np.float64]
Rings = list[tuple[float, Voxels]]  # a distance in mm, and the steps to all voxels at that distance

PERCENTILE = 95
NEAR_VOXELS = 4.0


@dataclass(frozen=True)
class Hausdorff95:
    """Both definitions of the distance, in mm.

    Attributes:
        maximum: The larger of the two directed 95th percentiles, reference to prediction and back.
        pooled: The 95th percentile of the pooled distances of both directions.
    """

    maximum: float
    pooled: float


@dataclass(frozen=True)
class Surface:
    """The surface voxels of several masks.

    Attributes:
        bits: Bit k is set for voxels on the surface of mask k; a flattened volume with an empty margin.
        voxels: Positions with any bit set.
        shape: Shape of the volume with its margin.
        spacing_mm: Voxel size, shape (3,).
    """

    bits: BitVolume
    voxels: Voxels
    shape: tuple[int, ...]
    spacing_mm: Millimetres

    def points_mm(self, voxels: Voxels) -> Millimetres:
        """Return the positions of voxels, shape (voxel, 3)."""
        return np.stack(np.unravel_index(voxels, self.shape), axis=1) * self.spacing_mm

    def of(self, bit: int) -> Voxels:
        """Return the surface voxels of one mask."""
        voxels: Voxels = self.voxels[self.bits[self.voxels] & (1 << bit) != 0]
        return voxels


@dataclass(frozen=True)
class Directed:
    """The distances from one mask's surface to another's.

    Attributes:
        near_mm: Distances within the rings, shape (voxel,).
        far: Voxels beyond the rings.
        source: Surfaces that hold `far`.
        target: Surfaces that the distances lead to.
        bit: Bit of the mask.
    """

    near_mm: Millimetres
    far: Voxels
    source: Surface
    target: Surface
    bit: int

    @cached_property
    def far_mm(self) -> Millimetres:
        """The distances of the far voxels, shape (voxel,)."""
        if not self.far.size:
            return np.empty(0)
        points = self.target.points_mm(self.target.of(self.bit))
        # A balanced tree takes longer to build than it saves on the few points of a query.
        tree = KDTree(points, leafsize=32, balanced_tree=False, compact_nodes=False)
        return np.asarray(tree.query(self.source.points_mm(self.far))[0])


def hausdorff95(
    reference: NDArray[np.bool_], prediction: NDArray[np.bool_], *, spacing_mm: Sequence[float]
) -> Hausdorff95:
    """Return the distance between two non-empty masks of one shape (X, Y, Z).

    Raises:
        ValueError: The shapes differ, a mask is empty, or the spacing is not three positive numbers.
    """
    pair = (reference.astype(np.uint8), prediction.astype(np.uint8))
    return hausdorff95_by_bit(*pair, bits=[0], spacing_mm=spacing_mm)[0]


def hausdorff95_by_bit(
    reference: BitVolume, prediction: BitVolume, *, bits: Sequence[int], spacing_mm: Sequence[float]
) -> dict[int, Hausdorff95]:
    """Return the distance of every mask in `bits`. No mask may be empty.

    Volumes may be cropped to a box that holds every mask, because everything outside is background anyway.

    Args:
        reference: Masks of the reference.
        prediction: Masks of the prediction, of the same shape.
        bits: Bits of the masks to measure.
        spacing_mm: Voxel size along each axis.

    Raises:
        ValueError: The shapes differ, a mask is empty, or the spacing is not three positive numbers.
    """
    if reference.shape != prediction.shape:
        raise ValueError(f"reference {reference.shape} and prediction {prediction.shape} must have one shape")
    spacing = checked_spacing(spacing_mm)
    reach_mm = NEAR_VOXELS * float(np.cbrt(spacing.prod()))
    margin = np.maximum(reach_mm // spacing, 1).astype(int)
    first, second = (_surface(volume, margin, spacing) for volume in (reference, prediction))
    for surface in (first, second):
        if not all(surface.of(bit).size for bit in bits):
            raise ValueError("an empty mask has no surface to measure to")
    rings = _rings(margin, reach_mm, first)
    there, back = _directed(first, second, rings, bits), _directed(second, first, rings, bits)
    return {
        bit: Hausdorff95(
            maximum=max(_percentile([there[bit]]), _percentile([back[bit]])),
            pooled=_percentile([there[bit], back[bit]]),
        )
        for bit in bits
    }


def checked_spacing(spacing_mm: Sequence[float]) -> Millimetres:
    """Return the voxel size as an array of shape (3,).

    Raises:
        ValueError: The spacing is not three positive numbers.
    """
    spacing = np.asarray(spacing_mm, dtype=np.float64)
    if spacing.shape != (3,) or not np.isfinite(spacing).all() or (spacing <= 0).any():
        raise ValueError(f"spacing_mm must be three positive numbers, not {tuple(spacing_mm)}")
    return spacing


def _surface(masks: BitVolume, margin: NDArray[np.int_], spacing: Millimetres) -> Surface:
    shape = tuple(int(size + 2 * side) for size, side in zip(masks.shape, margin, strict=True))
    padded = np.zeros(shape, dtype=np.uint8)
    padded[tuple(slice(side, size - side) for side, size in zip(margin, shape, strict=True))] = masks
    bits = padded.ravel()
    plane, row, end = shape[1] * shape[2], shape[2], bits.size
    # A step over the end of a row or plane ends in the margin, which is background.
    inner = bits[: end - 2 * plane] & bits[2 * plane :]
    for step in (row, -row, 1, -1):
        inner &= bits[plane + step : end - plane + step]
    bits[plane : end - plane] &= ~inner
    return Surface(bits, np.flatnonzero(bits != 0), shape, spacing)


def _rings(margin: NDArray[np.int_], reach_mm: float, surface: Surface) -> Rings:
    steps = np.mgrid[tuple(slice(-side, side + 1) for side in margin)].reshape(3, -1)
    distances = np.sqrt(((steps.T * surface.spacing_mm) ** 2).sum(axis=1))
    flat = steps[0] * surface.shape[1] * surface.shape[2] + steps[1] * surface.shape[2] + steps[2]
    within = np.unique(distances[distances <= reach_mm])
    return [(float(distance), flat[distances == distance]) for distance in within]


def _directed(source: Surface, target: Surface, rings: Rings, bits: Sequence[int]) -> dict[int, Directed]:
    wanted = np.uint8(sum(1 << bit for bit in bits))
    remaining, missing = source.voxels, source.bits[source.voxels] & wanted
    found = np.zeros((len(rings), 8), dtype=np.intp)
    # The bits of each byte, the lowest bit in the first column.
    table = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little").astype(np.intp)
    for number, (_, steps) in enumerate(rings):
        met = target.bits[remaining + steps[0]]
        for step in steps[1:]:
            met |= target.bits[remaining + step]
        met &= missing
        found[number] = np.bincount(met, minlength=256) @ table
        missing ^= met
        unmet = missing != 0
        remaining, missing = remaining[unmet], missing[unmet]
    distances = np.array([distance for distance, _ in rings])
    return {
        bit: Directed(
            near_mm=np.repeat(distances, found[:, bit]),
            far=remaining[missing & (1 << bit) != 0],
            source=source,
            target=target,
            bit=bit,
        )
        for bit in bits
    }


def _percentile(parts: Sequence[Directed]) -> float:
    near, far = sum(part.near_mm.size for part in parts), sum(part.far.size for part in parts)
    # The percentile is between two ranks. If both are near, the distances of the far voxels do not matter.
    rank = min(floor(PERCENTILE / 100 * (near + far - 1)) + 1, near + far - 1)
    beyond = [np.full(far, np.inf)] if rank < near else [part.far_mm for part in parts]
    return float(np.percentile(np.concatenate([*(part.near_mm for part in parts), *beyond]), PERCENTILE))
