"""Patch, batch and depth of a region recipe from the cohort's fingerprint and the memory at hand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Smallest extent of the coarsest level: below it nothing is left to convolve.
COARSEST = 4
MOST_LEVELS = 6
WIDEST = 320
BASE = 32
# Patches a step at least. Where time is short, more steps of one patch are worth more than fewer of two; in bfloat16,
# two cost little more than one does in float32.
FEWEST_PATCHES, FEWEST_PATCHES_SLIM = 2, {"float32": 1, "bfloat16": 2}
# More patches a step help little, and cost steps.
MOST_PATCHES = {2: 64, 3: 4}
SHRINK, SMALLEST = 8, 32
# Extents are rounded before the depth is read off them, so that 57 voxels give the depth of 64.
ROUNDED_TO = 16
# Feature maps of the first level that training keeps for each voxel: two units down, two up, each convolved,
# normalised and activated, and as much again for their gradients.
KEPT_MAPS = 24
BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True)
class Plan:
    """What `brats plan` derives.

    Attributes:
        patch: Extent of a patch in voxels, (X, Y, Z) or (X, Y).
        batch: Patches a step.
        filters: Of each level.
        step_bytes: Estimated memory of a step.
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

    The patch starts as the crop and loses voxels along its longest axis until the smallest batch fits; memory that
    is then left goes to the batch. What is given is kept.

    Args:
        crop: Median extent of the cases cropped to the brain, (X, Y, Z).
        dimensions: 2 (axial patches) or 3.
        stem: Voxels along each axis that the first level takes together.
        memory_bytes: That a step may take.
        most_voxels: That a step may take in float32 on a device without an accelerator, where time runs out before
            memory does; in bfloat16 twice as many. None: as many as fit.
        precision: `float32` or `bfloat16`.
        patch: The user's, or None.
        batch: The user's, or None.
        filters: The user's, or None.
    """

    def fits(extent: Sequence[int], number: int, widths: Sequence[int]) -> bool:
        few = most_voxels is None or number * int(np.prod(extent)) <= most_voxels * FEWEST_PATCHES_SLIM[precision]
        return few and step_bytes(extent, number, widths, stem, precision) <= memory_bytes

    def deep(extent: Sequence[int]) -> tuple[int, ...]:
        return tuple(filters) if filters else _filters(extent, stem, slim=most_voxels is not None)

    fewest = FEWEST_PATCHES if most_voxels is None else FEWEST_PATCHES_SLIM[precision]
    number, extent = batch or fewest, tuple(patch or crop[:dimensions])
    widths = deep(extent)
    while patch is None:
        rounded = _rounded(extent, ROUNDED_TO)
        widths = deep(rounded)
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
    """Return the estimated memory of one training step: its feature maps at every level, weights aside."""
    voxels = batch * int(np.prod(patch))
    each = [width / (stem * 2**level) ** len(patch) for level, width in enumerate(filters)]
    return int(voxels * sum(each) * KEPT_MAPS * BYTES[precision])


def _rounded(extent: Sequence[int], step: int) -> tuple[int, ...]:
    return tuple(max(step, -(-size // step) * step) for size in extent)


def _filters(patch: Sequence[int], stem: int, *, slim: bool) -> tuple[int, ...]:
    """Return filters that double at each level, or, for a device where time is short, grow by as many as the first."""
    levels = 1
    while levels < MOST_LEVELS and min(patch) >= COARSEST * stem * 2**levels:
        levels += 1
    return tuple(min(WIDEST, BASE * (level + 1 if slim else 2**level)) for level in range(levels))
