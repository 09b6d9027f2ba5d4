"""A slice that shows a defect, and how it is chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.modalities import MODALITIES
from brats_ml.imaging.quality.profile import brain_of
from brats_ml.imaging.quality.rules import Rule

Mask = NDArray[np.bool_]
Volumes = Mapping[str, NDArray[Any]]  # by role, shape (I, J, K), all on one grid
# The letters of the two directions of an axis, and the plane that is perpendicular to it.
PLANES = {"L": "sagittal", "R": "sagittal", "P": "coronal", "A": "coronal", "S": "axial", "I": "axial"}


@dataclass(frozen=True)
class Defect:
    """A slice that shows why a volume breaks a rule.

    Attributes:
        axis: The axis of the stored volume that is perpendicular to the slice.
        index: The slice along this axis, counted from 0.
        roles: The images to show, the one of the rule first.
        marked: The wrong voxels of the slice, or None if the rule is about no single voxels.
        outlined: What the image must agree with in this slice, or None.
        legend: What the slice shows, and what is marked and outlined.
    """

    axis: int
    index: int
    roles: tuple[str, ...]
    marked: Mask | None
    outlined: Mask | None
    legend: str


@dataclass(frozen=True)
class BrokenCase:
    """A case with a volume that breaks a rule.

    Attributes:
        role: The modality of the volume, or `seg`.
        volumes: All volumes on the grid of this one, by role, shape (I, J, K).
        rule: The rule that is broken.
        label_values: The values that the label scheme defines.
        axes: The directions of the stored axes, such as LPS.
    """

    role: str
    volumes: Volumes
    rule: Rule
    label_values: tuple[int, ...]
    axes: str

    @property
    def volume(self) -> NDArray[Any]:
        """The volume that breaks the rule."""
        return self.volumes[self.role]

    @property
    def images(self) -> dict[str, NDArray[Any]]:
        """The images by modality, without the label map."""
        return {role: self.volumes[role] for role in MODALITIES if role in self.volumes}

    def brain(self) -> Mask:
        """Return the brain mask of the other images, or of this one if there is no other."""
        others = {role: image for role, image in self.images.items() if role != self.role} or self.images
        return brain_of(others)["brain"].reshape(self.volume.shape, order="F")

    def comparable(self) -> dict[str, NDArray[Any]]:
        """Return the images that have values to compare."""
        return {role: image for role, image in self.images.items() if np.isfinite(image).all() and np.ptp(image) > 0}

    def background(self) -> str:
        """Return the image on which a label map is shown best."""
        return next((role for role in ("flair", "t2", "t1ce", "t1") if role in self.volumes), self.role)


def marked_slice(
    case: BrokenCase,
    wrong: Mask,
    what: str,
    outlined: Mask | None = None,
    *,
    outline: str = "the brain of the other images",
    roles: tuple[str, ...] = (),
) -> Defect | str:
    """Return the slice with the most wrong voxels, or in words that there are none.

    Args:
        case: The case. A label map is shown on an image.
        wrong: The voxels to mark, shape (I, J, K).
        what: What is marked.
        outlined: The voxels to draw a line around, shape (I, J, K), or None.
        outline: What is outlined.
        roles: The images to show; by default the one that breaks the rule.
    """
    if not wrong.any():
        return "no voxel of the stored volume shows it"
    axis, index = fullest_slice(wrong, case.axes)
    marked = plane_of(wrong, axis, index)
    legend = f"Red: {what}, {np.count_nonzero(marked)} in this slice and {np.count_nonzero(wrong)} in the volume."
    if case.role == "seg":
        roles = (case.background(),)
    if outlined is not None:
        legend += f" Yellow line: {outline}."
    plane = None if outlined is None else plane_of(outlined, axis, index)
    return Defect(axis, index, roles or (case.role,), marked, plane, legend)


def plane_of(mask: Mask, axis: int, index: int) -> Mask:
    """Return one slice of a mask along an axis."""
    plane: Mask = np.take(mask, index, axis=axis)
    return plane


def fullest_slice(mask: Mask, axes: str, flip: tuple[int, ...] = ()) -> tuple[int, int]:
    """Return an axis and the slice along it with the most true voxels; it is axial unless that would hide a flip."""
    names = [PLANES.get(code, "") for code in axes]
    order = sorted(range(3), key=lambda axis: ("axial", "coronal", "sagittal", "").index(names[axis]))
    # A flip along one axis alone cannot be seen in a slice that is perpendicular to it.
    axis = next(axis for axis in order if flip != (axis,))
    filled = np.count_nonzero(mask, axis=tuple(other for other in range(3) if other != axis))
    # The middle one of the fullest slices, since the first may only touch what it shows.
    fullest = np.flatnonzero(filled == filled.max())
    return axis, int(fullest[len(fullest) // 2])
