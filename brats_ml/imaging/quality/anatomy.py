"""Measure whether the images and the label map of a case show one head, in one orientation, under their right names.

Every measure compares ranks, histograms or percentiles of one image with those of another, so it depends neither on the
scanner nor on the units. The measures use coarse copies, since all that they look for is larger than a voxel.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from brats_ml.cohort.modalities import MODALITIES
from brats_ml.imaging.geometry import bounding_box

Image = NDArray[np.float32]  # (X, Y, Z)
Mask = NDArray[np.bool_]  # (X, Y, Z)
Series = NDArray[np.float32]  # one value per voxel of a mask
Indices = tuple[NDArray[np.intp], ...]  # the voxels of a place along X, Y and Z

# A copy is only made coarser if it keeps this many voxels along each axis.
FEWEST_ALONG_AXIS = 32
# With fewer voxels, no measure means anything.
FEWEST = 50
UPRIGHT = (False, False, False)
# All ways to flip axes; two flips together are a rotation by 180 degrees.
FLIPS = tuple(flip for flip in product((False, True), repeat=3) if flip != UPRIGHT)
LEVELS = 16  # of intensity, in a joint histogram
# Shares of the radius that the brain would have as a ball: the surface that is left out, since its voxels are partly
# air and the dura is bright without contrast agent, too; and the width of the mean that a local intensity refers to.
SURFACE, NEIGHBOURHOOD = 0.08, 0.2
EXTREME = 0.1  # share of the brain that counts as the brightest, or the darkest
FLUID_FLOOR = 1e-3  # share of the brain that is added to both counts, so that none is zero
VESSELS = 99.95  # percentile that only vessels and enhancing tumour exceed in T1ce
# Thickness in voxels of the outermost layer of a tumour, of the border around it that is left out, and of the shell
# around the border.
RIM, BORDER, SHELL = 2, 1, 2


@dataclass(frozen=True)
class CoarseCase:
    """The images of a case at a lower resolution.

    Attributes:
        images: Intensities by modality, up to a factor that all of them share.
        brain: The mask of the brain.
        deep: The mask of the brain without its surface.
        radius: The radius of a ball as large as the brain, in voxels.
    """

    images: dict[str, Image]
    brain: Mask
    deep: Mask
    radius: float

    @classmethod
    def of(cls, images: Mapping[str, NDArray[Any]], brain: Mask) -> Self:
        """Halve the resolution of images of shape (X, Y, Z), unless they are small."""
        step = coarse_step(brain.shape)
        inside = _block_sums(brain, step) * 2 > step**3
        radius = float(np.cbrt(np.count_nonzero(inside) * 3 / (4 * np.pi)))
        deep = binary_erosion(inside, iterations=max(round(SURFACE * radius), 1))
        return cls({role: _block_sums(image, step) for role, image in images.items()}, inside, deep, radius)

    def within(self, mask: Mask) -> dict[str, Series]:
        """Return the intensities of each image inside a mask, as ranks between 0 and 1."""
        return {role: _ranks(image[mask]) for role, image in self.images.items()}

    def flattened(self) -> "CoarseCase":
        """Divide each image by its local mean, which removes the shading of the coil."""
        width = NEIGHBOURHOOD * self.radius
        share = np.maximum(gaussian_filter(self.brain.astype(np.float32), width), 1e-3)
        images = {}
        for role, image in self.images.items():
            filled = np.where(self.brain, image, 0)
            mean = np.abs(gaussian_filter(filled, width) / share)
            images[role] = (filled / np.maximum(mean, np.finfo(np.float32).tiny)).astype(np.float32, copy=False)
        return CoarseCase(images, self.brain, self.deep, self.radius)


def coarse_step(shape: tuple[int, ...]) -> int:
    """Return by how many voxels a coarse copy of a volume advances along each axis."""
    return 2 if min(shape) >= 2 * FEWEST_ALONG_AXIS else 1


def mirror_ratios(case: CoarseCase) -> dict[str, float]:
    """Return how well each image fits the others when it is flipped, divided by how well it fits as it is.

    The fit is the mutual information of intensities, averaged over the other images, and the best flip counts. It is
    below 1 for an image that shows the head in the same orientation as the others do.
    """
    levels = {role: np.zeros(case.brain.shape, dtype=np.intp) for role in case.images}
    for role, ranks in case.within(case.brain).items():
        levels[role][case.brain] = (ranks * LEVELS).astype(np.intp)
    upright = _fits(levels, case.brain, UPRIGHT)
    flipped = [_fits(levels, case.brain, flip) for flip in FLIPS]
    return {role: max(fits.get(role, 0.0) for fits in flipped) / fit for role, fit in upright.items() if fit > 0}


def _fits(levels: Mapping[str, NDArray[np.intp]], brain: Mask, flip: tuple[bool, ...]) -> dict[str, float]:
    """Return the mean mutual information of each image with the others, if it alone is flipped."""
    both = brain & _flipped(brain, flip)
    if len(levels) < 2 or np.count_nonzero(both) < FEWEST:
        return {}
    here = {role: level[both] for role, level in levels.items()}
    there = {role: _flipped(level, flip)[both] for role, level in levels.items()}
    sums = dict.fromkeys(levels, 0.0)
    # To flip the one image or the other gives the same pairs of voxels.
    for one, other in combinations(levels, 2):
        shared = _mutual_information(there[one], here[other])
        sums[one] += shared
        sums[other] += shared
    return {role: total / (len(levels) - 1) for role, total in sums.items()}


def likenesses(ranks: Mapping[str, Series]) -> dict[str, float]:
    """Return for each image the highest correlation of its ranks with those of another image."""
    table = _correlations(ranks)
    return {role: max(value for pair, value in table.items() if role in pair) for role in ranks if table}


def pairing(ranks: Mapping[str, Series]) -> float:
    """Return by how much T1 matches T1ce, and FLAIR matches T2, better than in another division of the four into pairs.

    It is the sum of both correlations, less the larger one of the sums of the other two divisions. It is negative if
    one of T1 and T1ce is exchanged for one of FLAIR and T2.
    """
    table = _correlations(ranks)
    right, *wrong = (
        table[frozenset(pair)] + table[frozenset(set(MODALITIES) - set(pair))]
        for pair in (("t1", "t1ce"), ("t1", "flair"), ("t1", "t2"))
    )
    return right - max(wrong)


def fluid_contrast(flair: Series, t2: Series) -> float:
    """Return the logarithm of how much more brain is bright in T2 and dark in FLAIR than the other way round.

    Fluid is among the brightest in T2 and among the darkest in FLAIR. No tissue is the opposite.
    """
    right = np.mean((t2 > 1 - EXTREME) & (flair < EXTREME))
    wrong = np.mean((flair > 1 - EXTREME) & (t2 < EXTREME))
    return float(np.log((right + FLUID_FLOOR) / (wrong + FLUID_FLOOR)))


def enhancement(t1: Series, t1ce: Series) -> float | None:
    """Return by how much vessels and enhancing tumour exceed tissue in T1ce, compared with the brightest voxels in T1.

    In each image it divides the distance of the 99.95th percentile from the median by that between the quartiles. The
    result is the logarithm of the ratio of both images. It is None if an image has too few levels for it.
    """
    lower, middle, upper, top = np.percentile(np.stack([t1, t1ce]), [25, 50, 75, VESSELS], axis=1)
    if not ((upper > lower) & (top > middle)).all():
        return None
    plain, contrast = np.log((top - middle) / (upper - lower))
    return float(contrast - plain)


def label_contrasts(case: CoarseCase, tumour: Mask) -> tuple[float | None, float | None]:
    """Return by how much a labelled tumour is brighter than the brain around it, and how much of that a flip loses.

    Args:
        case: FLAIR and T2, or one of them. The one with the larger contrast counts.
        tumour: The labelled voxels, of any label, at the resolution of the case.

    Returns:
        The difference of mean ranks between the outermost layer of the tumour and a shell around it; and by how much
        this exceeds the same of the label map flipped in the best way. Each is None if too few voxels are in the brain.
    """
    ranks = {role: np.zeros(case.brain.shape, dtype=np.float32) for role in case.images}
    for role, series in case.within(case.brain).items():
        ranks[role][case.brain] = series
    places = [np.nonzero(mask) for mask in _rim_and_shell(tumour)]
    contrasts = {}
    for flip in (UPRIGHT, *FLIPS):
        within, around = (_in_brain(place, flip, case.brain) for place in places)
        if ranks and min(within[0].size, around[0].size) >= FEWEST:
            contrasts[flip] = max(float(image[within].mean() - image[around].mean()) for image in ranks.values())
    here = contrasts.pop(UPRIGHT, None)
    return here, None if here is None or not contrasts else here - max(contrasts.values())


def _in_brain(place: Indices, flip: tuple[bool, ...], brain: Mask) -> Indices:
    """Return the flipped voxels of a place that are in the brain."""
    moved = tuple(
        size - 1 - index if is_flipped else index
        for index, is_flipped, size in zip(place, flip, brain.shape, strict=True)
    )
    inside = brain[moved]
    return tuple(index[inside] for index in moved)


def _rim_and_shell(tumour: Mask) -> tuple[Mask, Mask]:
    box = tuple(slice(max(side.start - BORDER - SHELL, 0), side.stop + BORDER + SHELL) for side in bounding_box(tumour))
    rim, shell = np.zeros_like(tumour), np.zeros_like(tumour)
    near = binary_dilation(tumour[box], iterations=BORDER)
    rim[box] = tumour[box] & ~binary_erosion(tumour[box], iterations=RIM)
    shell[box] = binary_dilation(near, iterations=SHELL) & ~near
    return rim, shell


def _flipped(volume: NDArray[Any], flip: tuple[bool, ...]) -> NDArray[Any]:
    return np.flip(volume, tuple(axis for axis, is_flipped in enumerate(flip) if is_flipped))


def _block_sums(volume: NDArray[Any], step: int) -> Image:
    """Return the sums of blocks of one voxel, or two, along each axis; an incomplete block at the end is dropped."""
    summed = volume.astype(np.float32) if step == 1 else volume
    for axis in reversed(range(volume.ndim)) if step == 2 else ():
        lower, upper = (
            summed[(slice(None),) * axis + (slice(start, summed.shape[axis] // 2 * 2, 2),)] for start in (0, 1)
        )
        summed = np.add(lower, upper, dtype=np.float32)
    return summed


def _ranks(values: Series) -> Series:
    """Return ranks between 0 and 1. The thousandths at both ends count as equal, and equal values keep their order."""
    low, high = np.percentile(values, [0.1, 99.9])
    levels = np.clip((values - low) * (np.iinfo(np.uint16).max / max(high - low, np.finfo(np.float32).tiny)), 0, None)
    # Numpy sorts 16 bits by radix, in a fraction of the time.
    order = np.argsort(np.minimum(levels, np.iinfo(np.uint16).max).astype(np.uint16), kind="stable")
    ranked = np.empty(values.size, dtype=np.float32)
    ranked[order] = (np.arange(values.size, dtype=np.float32) + 0.5) / values.size
    return ranked


def _mutual_information(one: NDArray[np.intp], other: NDArray[np.intp]) -> float:
    """Return the mutual information of two series of levels, in nats."""
    joint = np.bincount(one * LEVELS + other, minlength=LEVELS**2).reshape(LEVELS, LEVELS) / one.size
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / independent[seen])).sum())


def _correlations(ranks: Mapping[str, Series]) -> dict[frozenset[str], float]:
    """Return Spearman's correlation of each pair of images."""
    if len(ranks) < 2:
        return {}
    values = np.corrcoef(list(ranks.values()))
    return {frozenset((one, other)): float(values[i, j]) for (i, one), (j, other) in combinations(enumerate(ranks), 2)}
