"""Find the slice of a volume that shows best why the volume breaks a rule."""

from collections.abc import Callable

import numpy as np

from brats_ml.imaging.quality.defect import BrokenCase, Defect, Volumes, fullest_slice, marked_slice
from brats_ml.imaging.quality.defects_between import (
    alike_slice,
    all_images_slice,
    fluid_slice,
    label_flipped_slice,
    label_unlike_slice,
    mirrored_slice,
    vessels_slice,
)
from brats_ml.imaging.quality.rules import Rule

WITHOUT_PLACE = {
    "named": "the defect is a file name",
    "present": "the file is missing",
    "readable": "the file cannot be read",
    "same_grid": "the defect is the header, which places the whole volume",
    "oriented": "the defect is the header of the whole volume",
    "oblique_degrees": "the whole volume is rotated",
    "disagreement_mm": "the defect is the header of the whole volume",
    "tumour_voxels": "no voxel is labelled",
    "unread": "the file is not read",
    **{f"shape_{axis}": "the defect is the size of the whole volume" for axis in "xyz"},
    **{f"spacing_{axis}": "the defect is the voxel size of the whole volume" for axis in "xyz"},
}


# Rules that compare an image, or the label map, with the images of the case.
COMPARING = frozenset(
    {
        "mask_agreement",
        "mirror_ratio",
        "likeness",
        "pairing",
        "enhancement",
        "fluid_contrast",
        "outside_brain_share",
        "label_contrast",
        "label_advantage",
    }
)


def locate(rule: Rule, role: str, volumes: Volumes, *, label_values: tuple[int, ...], axes: str) -> Defect | str:
    """Return the slice that shows why a volume breaks a rule, or in words why no slice does.

    Args:
        rule: The rule that is broken.
        role: The modality that breaks it, or `seg`.
        volumes: All volumes of the case that share the grid of this one, as stored, shape (I, J, K).
        label_values: The values that the label scheme defines.
        axes: The directions of the stored axes, such as LPS.
    """
    if rule.column in WITHOUT_PLACE:
        return WITHOUT_PLACE[rule.column]
    if role not in volumes:
        return "the volume cannot be shown"
    case = BrokenCase(role, volumes, rule, label_values, axes)
    if rule.column in COMPARING and not case.comparable().keys() - {role}:
        return "there is no image to compare it with"
    return SHOWN_BY[rule.column](case)


def _not_finite(case: BrokenCase) -> Defect | str:
    return marked_slice(case, ~np.isfinite(case.volume), "the values that are not finite")


def _beyond_limits(case: BrokenCase) -> Defect | str:
    low, high = case.rule.limits or (None, None)
    wrong = np.zeros(case.volume.shape, dtype=np.bool_)
    if low is not None:
        wrong |= case.volume < low
    if high is not None:
        wrong |= case.volume > high
    return marked_slice(case, wrong, "the values beyond the limit")


def _negative(case: BrokenCase) -> Defect | str:
    return marked_slice(case, case.volume < 0, "the negative values")


def _filled(case: BrokenCase) -> Defect | str:
    filled = case.volume != 0
    if not filled.any():
        return "every voxel is 0"
    axis, index = fullest_slice(filled, case.axes)
    marked = ~np.isfinite(case.volume.take(index, axis))
    legend = "The slice has the most nonzero voxels."
    if not marked.any():
        return Defect(axis, index, (case.role,), None, None, legend)
    return Defect(axis, index, (case.role,), marked, None, f"{legend} Red: values that are not finite.")


def _other_mask(case: BrokenCase) -> Defect | str:
    brain = case.brain()
    return marked_slice(
        case, (case.volume != 0) ^ brain, "the voxels that only this image or only the others fill", brain
    )


def _foreign(case: BrokenCase) -> Defect | str:
    wrong = (case.volume != 0) & ~np.isin(case.volume, case.label_values)
    return marked_slice(
        case, wrong, "the labels that the release does not define", case.volume != 0, outline="the labels"
    )


def _outside_brain(case: BrokenCase) -> Defect | str:
    brain = case.brain()
    return marked_slice(case, (case.volume != 0) & ~brain, "the labels outside the brain", brain, outline="the brain")


SHOWN_BY: dict[str, Callable[[BrokenCase], Defect | str]] = {
    "finite": _not_finite,
    "minimum": _beyond_limits,
    "maximum": _beyond_limits,
    "brain_share": _filled,
    "brain_ml": _filled,
    "levels": _filled,
    "negative_share": _negative,
    "foreign_labels": _foreign,
    "mask_agreement": _other_mask,
    "mirror_ratio": mirrored_slice,
    "likeness": alike_slice,
    "pairing": all_images_slice,
    "enhancement": vessels_slice,
    "fluid_contrast": fluid_slice,
    "outside_brain_share": _outside_brain,
    "label_contrast": label_unlike_slice,
    "label_advantage": label_flipped_slice,
    "copy_of": _filled,
}
