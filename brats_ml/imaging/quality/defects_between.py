"""Slices that show defects which only a comparison of the images of a case reveals."""

from dataclasses import replace
from itertools import product

import numpy as np

from brats_ml.imaging.quality.anatomy import EXTREME, VESSELS, CoarseCase, mirror_ratios
from brats_ml.imaging.quality.defect import PLANES, BrokenCase, Defect, fullest_slice, marked_slice, plane_of


def mirrored_slice(case: BrokenCase) -> Defect | str:
    """Show a slice in which the flip of the image is visible, with the outline of the brain in the other images."""
    others = [role for role in case.comparable() if role != case.role]
    brain, flip = case.brain(), _best_flip(case)
    axis, index = fullest_slice((case.volume != 0) ^ brain, case.axes, flip)
    legend = (
        f"{case.role} fits best if it is flipped {_directions(flip, case.axes)}. "
        "Yellow line: the brain of the other images."
    )
    return Defect(axis, index, (case.role, others[0]), None, plane_of(brain, axis, index), legend)


def label_flipped_slice(case: BrokenCase) -> Defect | str:
    """Show a slice in which the flip of the label map is visible."""
    labelled, image = case.volume != 0, case.volumes[case.background()]
    flip = max(_flips(), key=lambda flip: float(image[np.flip(labelled, flip)].mean(dtype=np.float64)))
    axis, index = fullest_slice(labelled, case.axes, flip)
    legend = f"Yellow line: the labels. They fit best if they are flipped {_directions(flip, case.axes)}."
    return Defect(axis, index, _bright(case), None, plane_of(labelled, axis, index), legend)


def label_unlike_slice(case: BrokenCase) -> Defect | str:
    """Show where the most is labelled."""
    labelled = case.volume != 0
    axis, index = fullest_slice(labelled, case.axes)
    legend = "Yellow line: the labels, which must surround what is bright."
    return Defect(axis, index, _bright(case), None, plane_of(labelled, axis, index), legend)


def alike_slice(case: BrokenCase) -> Defect | str:
    """Show the image next to the one that is most like it."""
    images = {role: image[::2, ::2, ::2].astype(np.float64).ravel() for role, image in case.comparable().items()}
    here = images.pop(case.role)
    other = max(images, key=lambda role: np.corrcoef(here, images[role])[0, 1])
    axis, index = fullest_slice(case.volume != 0, case.axes)
    return Defect(axis, index, (case.role, other), None, None, f"{case.role} is almost the same image as {other}.")


def all_images_slice(case: BrokenCase) -> Defect | str:
    """Show all images, in pairs that must be alike."""
    axis, index = fullest_slice(case.volume != 0, case.axes)
    roles = tuple(role for role in ("t1", "t1ce", "flair", "t2") if role in case.volumes)
    return Defect(axis, index, roles, None, None, "The first must look like the second, and the third like the fourth.")


def vessels_slice(case: BrokenCase) -> Defect | str:
    """Show where T1, which must have no bright vessels, has its brightest voxels."""
    plain = case.volumes["t1"]
    bright = plain >= np.percentile(plain[plain != 0], VESSELS)
    axis, index = fullest_slice(bright, case.axes)
    legend = "The slice has the most of the brightest voxels of t1. They must be vessels in t1ce, not in t1."
    return Defect(axis, index, ("t1ce", "t1"), None, None, legend)


def fluid_slice(case: BrokenCase) -> Defect | str:
    """Show where FLAIR is bright and T2 is dark, as no tissue is."""
    flair, t2 = case.volumes["flair"], case.volume
    brain = (flair != 0) & (t2 != 0)
    bright = flair > np.quantile(flair[brain], 1 - EXTREME)
    dark = t2 < np.quantile(t2[brain], EXTREME)
    return marked_slice(
        case, brain & bright & dark, "brain that is bright in flair and dark in t2", roles=("t2", "flair")
    )


def _flips() -> list[tuple[int, ...]]:
    return [tuple(np.flatnonzero(flip).tolist()) for flip in product((False, True), repeat=3) if any(flip)]


def _directions(flip: tuple[int, ...], axes: str) -> str:
    words = {"sagittal": "left to right", "coronal": "front to back", "axial": "top to bottom"}
    return " and ".join(words.get(PLANES.get(axes[axis], ""), f"along axis {axis}") for axis in flip)


def _bright(case: BrokenCase) -> tuple[str, ...]:
    return tuple(role for role in ("flair", "t2") if role in case.volumes) or (case.background(),)


def _best_flip(case: BrokenCase) -> tuple[int, ...]:
    """Return the axes along which the image must be flipped to fit the others best."""
    fine = CoarseCase.of(case.comparable(), case.brain())
    coarse = CoarseCase.of(fine.images, fine.brain).flattened()

    def misfit(flip: tuple[int, ...]) -> float:
        flipped = {**coarse.images, case.role: np.flip(coarse.images[case.role], flip)}
        return mirror_ratios(replace(coarse, images=flipped)).get(case.role, np.inf)

    return min(_flips(), key=misfit)
