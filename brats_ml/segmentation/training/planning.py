"""Choose the patch, batch and depth of a region recipe from the size of the brains and the available memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# The smallest extent of the coarsest level. Below it nothing is left to convolve.
COARSEST = 4
MOST_LEVELS = 6
WIDEST = 320
BASE = 32
# The smallest number of patches per step. Without an accelerator time is short, and the slim numbers apply: many steps
# of one patch are worth more than few steps of two. In bfloat16 two patches cost little more than one in float32.
FEWEST_PATCHES, FEWEST_PATCHES_SLIM = 2, {"float32": 1, "bfloat16": 2}
# The largest number of patches per step, in 2D and 3D. More patches help little and leave time for fewer steps.
MOST_PATCHES = {2: 64, 3: 4}
# Voxels by which an axis shrinks at a time, and the extent at which it stops.
SHRINK, SMALLEST = 8, 32
# Extents are rounded up before they determine the depth, so that 57 voxels give the depth of 64.
ROUNDED_TO = 16
# Feature maps per voxel of the first level that training keeps: two units down and two units up, each convolved,
# normalised and activated, and as many again for the gradients.
KEPT_MAPS = 24
BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class Plan:
    """The sizes that `brats plan` chooses.

    Attributes:
        patch: The extent of a patch in voxels, (X, Y, Z) or (X, Y).
        batch: The patches per step.
        filters: The filters of each level.
        step_bytes: The estimated memory of a step.
    """

    patch: tuple[int, ...]
    batch: int
    filters: tuple[int, ...]
    step_bytes: int


def plan(
    crop: Sequence[int],
    *,
    dimensions: int,
    stem: int,
    memory_bytes: int,
    most_voxels: int | None,
    precision: str,
    patch: Sequence[int] | None = None,
    batch: int | None = None,
    filters: Sequence[int] | None = None,
) -> Plan:
    """Return the largest patch that fits, the depth that it allows, and the batch.

    The patch starts as large as the crop. Its longest axis shrinks until the smallest batch fits. Memory that is left
    then goes to a larger batch. Sizes that the user gives stay as they are.

    Args:
        crop: The median extent of the cases cropped to the brain, (X, Y, Z).
        dimensions: 2 for axial patches, or 3.
        stem: The stride of the first level along each axis.
        memory_bytes: The memory that a step may take.
        most_voxels: The voxels that a step may take in float32 without an accelerator, where time runs out before
            memory does. In bfloat16 a step may take twice as many. None means no limit.
        precision: `float32` or `bfloat16`.
        patch: The patch that the user gives, or None.
        batch: The batch that the user gives, or None.
        filters: The filters that the user gives, or None.
    """

    def fits(extent: Sequence[int], number: int, widths: Sequence[int]) -> bool:
        fast = most_voxels is None or number * int(np.prod(extent)) <= most_voxels * FEWEST_PATCHES_SLIM[precision]
        return fast and step_bytes(extent, number, widths, stem, precision) <= memory_bytes

    def filters_for(extent: Sequence[int]) -> tuple[int, ...]:
        return tuple(filters) if filters else _filters(extent, stem, slim=most_voxels is not None)

    fewest = FEWEST_PATCHES if most_voxels is None else FEWEST_PATCHES_SLIM[precision]
    number, extent = batch or fewest, tuple(patch or crop[:dimensions])
    widths = filters_for(extent)
    while patch is None:
        rounded = _rounded(extent, ROUNDED_TO)
        widths = filters_for(rounded)
        rounded = _rounded(rounded, stem * 2 ** (len(widths) - 1))
        if fits(rounded, number, widths) or max(extent) <= SMALLEST:
            extent = rounded
            break
        longest = int(np.argmax(extent))
        extent = tuple(size - SHRINK if axis == longest else size for axis, size in enumerate(extent))
    while batch is None and 2 * number <= MOST_PATCHES[dimensions] and fits(extent, 2 * number, widths):
        number *= 2
    return Plan(extent, number, widths, step_bytes(extent, number, widths, stem, precision))


def step_bytes(patch: Sequence[int], batch: int, filters: Sequence[int], stem: int, precision: str) -> int:
    """Return the estimated memory of one training step: the feature maps of all levels, without the weights."""
    voxels = batch * int(np.prod(patch))
    per_voxel = [width / (stem * 2**level) ** len(patch) for level, width in enumerate(filters)]
    return int(voxels * sum(per_voxel) * KEPT_MAPS * BYTES[precision])


def _rounded(extent: Sequence[int], step: int) -> tuple[int, ...]:
    return tuple(max(step, -(-size // step) * step) for size in extent)


def _filters(patch: Sequence[int], stem: int, *, slim: bool) -> tuple[int, ...]:
    """Return the filters of each level: they double from level to level, or grow by a constant if `slim`."""
    levels = 1
    while levels < MOST_LEVELS and min(patch) >= COARSEST * stem * 2**levels:
        levels += 1
    return tuple(min(WIDEST, BASE * (level + 1 if slim else 2**level)) for level in range(levels))
