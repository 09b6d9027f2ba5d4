"""The tumour of a case in the three planes through its centre, reference and prediction side by side."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brats_ml.cohort.labels import LabelMap
from brats_ml.imaging.geometry import Box, bounding_box
from brats_ml.reports.panels import MARGIN_VOXELS, draw_slice, label_legend, mark_sides

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}  # by the axis that runs through them
HEAD_INCHES = 2.75


def three_planes(
    background: NDArray[Any], reference: LabelMap, predicted: LabelMap, *, title: str, modality: str
) -> Figure:
    """Draw the axial, coronal and sagittal plane through the tumour's centre, each with reference and prediction.

    Axial and coronal planes have the patient's right on the left, sagittal ones the front of the head.

    Args:
        background: Canonical volume, shape (X, Y, Z), any intensity scale.
        reference: Canonical label map of the same shape.
        predicted: Canonical label map of the same shape.
        title: What the case is called and how well it is predicted.
        modality: What the background is called.
    """
    centre = tumour_centre(reference, predicted)
    box = _head(background)
    volumes = [volume[box] for volume in (background, reference, predicted)]
    shape, inside = volumes[0].shape, [at - side.start for at, side in zip(centre, box, strict=True)]
    # One scale for all planes: a millimetre is as long in each of them.
    widths = [shape[0], shape[0], shape[1]]
    inch = HEAD_INCHES / max(shape)
    figure = Figure(figsize=(2 * sum(widths) * inch + 0.3, max(shape[1:]) * inch + 1.15), layout="constrained")
    figure.suptitle(title, fontsize=13, fontweight="bold", x=0.005, ha="left")
    parts = figure.subfigures(1, len(PLANES), squeeze=False, width_ratios=widths, wspace=0.0)[0]
    for part, plane in zip(parts, reversed(PLANES), strict=True):
        axis = PLANES[plane]
        part.suptitle(f"{plane}, slice {centre[axis]}", fontsize=10.5, fontweight="bold", color="#5B6472")
        grey, *maps = (plane_of(volume, axis, inside[axis]) for volume in volumes)
        for axes, labels, name in zip(part.subplots(1, 2), maps, ("reference", "predicted"), strict=True):
            draw_slice(axes, grey, labels)
            axes.set_title(name, fontsize=10)
            axes.set_anchor("N")
            mark_sides(axes, "AP" if plane == "sagittal" else "RL")
    label_legend(figure)
    figure.text(0.995, 0.01, f"background: {modality}", ha="right", va="bottom", fontsize=10, color="#555555")
    return figure


def tumour_centre(reference: LabelMap, predicted: LabelMap) -> tuple[int, int, int]:
    """Return the tumour's voxel nearest to its centre of mass, so that every plane through it shows some of the tumour.

    The tumour is the reference one; the predicted one where the reference has none; the whole volume where neither has.
    """
    for labels in (reference, predicted):
        voxels = np.argwhere(labels)
        if len(voxels):
            nearest = voxels[np.square(voxels - voxels.mean(axis=0)).sum(axis=1).argmin()]
            return int(nearest[0]), int(nearest[1]), int(nearest[2])
    x, y, z = reference.shape
    return x // 2, y // 2, z // 2


def plane_of(volume: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
    """Return a plane of a canonical volume as rows and columns of a picture: front or top of the head up."""
    plane: NDArray[Any] = volume.take(index, axis=axis).T
    # Rows run down: to the back in axial planes, which is right, and to the top in the others, which is not.
    return plane if axis == PLANES["axial"] else plane[::-1]


def _head(background: NDArray[Any]) -> Box:
    """Return the box of the voxels other than 0 with a margin, or all of the volume where it is empty."""
    sides = bounding_box(background != 0)
    if sides[0].stop == 0:
        return tuple(slice(0, size) for size in background.shape)
    return tuple(
        slice(max(side.start - MARGIN_VOXELS, 0), min(side.stop + MARGIN_VOXELS, size))
        for side, size in zip(sides, background.shape, strict=True)
    )
