"""Choose the patches of each training step, as a function of the seed and the step alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LabelMap, region_mask

# Random numbers per patch for its augmentation; see `segmentation.training.augmentation`.
DRAWS = 26
# The most voxels that are remembered of a region, to centre patches on. Larger regions are sampled.
REMEMBERED = 20_000
# The share of the patches on the tumour that are centred on its core, which is a small part of most tumours.
CORE_SHARE = 0.5


@dataclass(frozen=True)
class Foreground:
    """Where the tumour of one case is.

    Attributes:
        whole: Voxels of the whole tumour, and of cavities, shape (n, 3).
        core: Voxels of its core, shape (m, 3).
        shape: The shape of the case, (X, Y, Z).
    """

    whole: NDArray[np.int32]
    core: NDArray[np.int32]
    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Patches:
    """The places of one batch of patches, and the random numbers of their augmentation.

    Attributes:
        case: The index of the case, shape (batch,).
        corner: The first voxel of the patch, shape (batch, 3). It is negative if the patch is larger than the case.
        draws: Uniform random numbers in [0, 1) for the augmentation, shape (batch, DRAWS).
    """

    case: NDArray[np.int32]
    corner: NDArray[np.int32]
    draws: NDArray[np.float32]


def foreground(labels: LabelMap, *, seed: int) -> Foreground:
    """Return the tumour's voxels in a label map (X, Y, Z), or a random sample of them if there are many."""
    rng = np.random.default_rng(seed)

    def remembered(mask: NDArray[np.bool_]) -> NDArray[np.int32]:
        voxels = np.argwhere(mask).astype(np.int32)
        kept = rng.permutation(len(voxels))[:REMEMBERED] if len(voxels) > REMEMBERED else np.arange(len(voxels))
        return voxels[kept]

    core = region_mask(labels, "TC")
    rows, columns, depth = labels.shape
    return Foreground(remembered(labels > 0), remembered(core), (rows, columns, depth))


def draw_patches(
    cases: Sequence[Foreground], *, patch: Sequence[int], batch: int, share: float, seed: int, step: int
) -> Patches:
    """Return the patches of one step.

    Args:
        cases: The cases of the training set.
        patch: The extent of a patch in voxels, shape (3,).
        batch: The number of patches.
        share: The expected share of patches that are centred near the tumour.
        seed: The seed of the training.
        step: The global step, counted from 0.
    """
    rng = np.random.default_rng((seed, step))
    extent = np.array(patch)
    chosen = rng.integers(len(cases), size=batch)
    corners = [_corner(rng, cases[index], extent, share) for index in chosen]
    draws = rng.random((batch, DRAWS), dtype=np.float32)
    return Patches(chosen.astype(np.int32), np.array(corners, dtype=np.int32), draws)


def _corner(rng: np.random.Generator, case: Foreground, extent: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    shape = np.array(case.shape)
    if rng.random() < share and len(case.whole):
        voxels = case.core if len(case.core) and rng.random() < CORE_SHARE else case.whole
        # Shift by up to a quarter of the patch, so that the tumour is not always in the middle.
        centre = voxels[rng.integers(len(voxels))] + rng.integers(-(extent // 4), extent // 4 + 1)
    else:
        centre = rng.integers(shape)
    # A patch stays inside the case. A patch larger than the case is centred on it.
    inside = np.clip(centre - extent // 2, 0, np.maximum(shape - extent, 0))
    return np.asarray(np.where(shape < extent, (shape - extent) // 2, inside))
