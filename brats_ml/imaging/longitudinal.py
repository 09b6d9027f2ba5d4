"""Compare two time points of one patient: how volumes change, and which lesions are new."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, distance_transform_edt, find_objects, label

from brats_ml.imaging.geometry import bounding_box_of_any

BoolVolume = NDArray[np.bool_]  # (X, Y, Z), axes to the patient's Left, Posterior, Superior
Side = Literal["left", "right", "middle"]

# Voxels that share a corner are one lesion, as in the lesion-wise metrics of BraTS.
NEIGHBOURS = np.ones((3, 3, 3), dtype=np.bool_)
# A lesion with a centre this near the middle of the brain is on neither side.
MIDDLE_MM = 5.0


@dataclass(frozen=True)
class Lesion:
    """A connected part of a mask.

    Attributes:
        volume_mm3: Its volume.
        centre: The voxel of the lesion that is nearest to its centre of mass.
        regions_mm3: The volume of each region in the lesion.
    """

    volume_mm3: float
    centre: tuple[int, int, int]
    regions_mm3: dict[str, float]


def percent_change(before: float, after: float) -> float | None:
    """Return the change of a volume in percent of the volume before, or None where there was none."""
    return 100 * (after - before) / before if before > 0 else None


def are_apart(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether two intervals, each of its lower and upper end, share no value."""
    return one[1] < other[0] or other[1] < one[0]


def new_lesions(
    before: BoolVolume,
    after: BoolVolume,
    regions: Mapping[str, BoolVolume],
    *,
    spacing_mm: Sequence[float],
    margin_mm: float,
    smallest_mm3: float,
) -> list[Lesion]:
    """Return the lesions of `after` that are farther than the margin from each lesion of `before`, largest first.

    A lesion that is dilated by the margin meets another exactly if the centres of their nearest voxels are at most the
    margin apart.

    Args:
        before: The tumour at the earlier time point, shape (X, Y, Z).
        after: The tumour at the later time point, in the same grid.
        regions: Masks of the later time point, of which each lesion states the volume.
        spacing_mm: Voxel size along each axis.
        margin_mm: The largest distance at which a lesion belongs to one of the earlier time point.
        smallest_mm3: A smaller part of a mask is no lesion, at either time point.

    Raises:
        ValueError: The two masks have different shapes.
    """
    if before.shape != after.shape:
        raise ValueError(f"masks of shapes {before.shape} and {after.shape} are in different grids")
    if not after.any():
        return []
    box = bounding_box_of_any([before, after])
    voxel_mm3 = float(np.prod(spacing_mm))
    parts, _ = label(after[box], NEIGHBOURS)
    far = _distance_mm(_lesions_only(before[box], smallest_mm3 / voxel_mm3), spacing_mm)
    found = []
    for number, place in enumerate(find_objects(parts), start=1):
        inside = parts[place] == number
        volume_mm3 = _volume(inside, voxel_mm3)
        if volume_mm3 >= smallest_mm3 and far[place][inside].min() > margin_mm:
            start = [outer.start + inner.start for outer, inner in zip(box, place, strict=True)]
            own = {name: _volume(mask[box][place] & inside, voxel_mm3) for name, mask in regions.items()}
            found.append(Lesion(volume_mm3, _central_voxel(inside, start), own))
    return sorted(found, key=lambda lesion: (-lesion.volume_mm3, lesion.centre))


def side_of(position: float, middle: float, spacing_mm: float) -> Side:
    """Return the side of the patient that a position is on.

    Args:
        position: A position along the first axis, which points to the patient's left, in voxels.
        middle: The middle of the brain along this axis.
        spacing_mm: Voxel size along this axis.
    """
    offset_mm = (position - middle) * spacing_mm
    if abs(offset_mm) <= MIDDLE_MM:
        return "middle"
    return "left" if offset_mm > 0 else "right"


def middle_of(brain: BoolVolume) -> float:
    """Return the middle of a brain mask along the first axis in voxels, or of the volume where the mask is empty."""
    filled = np.flatnonzero(brain.any(axis=(1, 2)))
    ends = (filled[0], filled[-1]) if filled.size else (0, brain.shape[0] - 1)
    return float(ends[0] + ends[1]) / 2


def _volume(mask: BoolVolume, voxel_mm3: float) -> float:
    return float(np.count_nonzero(mask) * voxel_mm3)


def _lesions_only(mask: BoolVolume, smallest_voxels: float) -> BoolVolume:
    """Return the mask without parts that are too small for a lesion."""
    parts, _ = label(mask, NEIGHBOURS)
    kept = np.bincount(parts.ravel()) >= smallest_voxels
    kept[0] = False
    return np.asarray(kept[parts])


def _distance_mm(mask: BoolVolume, spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """Return the distance of each voxel from the mask, which is infinite for an empty one."""
    if not mask.any():
        return np.full(mask.shape, np.inf)
    return np.asarray(distance_transform_edt(~mask, sampling=spacing_mm))


def _central_voxel(mask: BoolVolume, start: Sequence[int]) -> tuple[int, int, int]:
    voxels = np.argwhere(mask)
    nearest = voxels[np.square(voxels - np.array(center_of_mass(mask))).sum(axis=1).argmin()]
    x, y, z = (int(first + at) for first, at in zip(start, nearest, strict=True))
    return x, y, z
