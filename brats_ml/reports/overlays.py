"""Figures of the three planes through the centre of a tumour, with reference and prediction side by side."""

from collections.abc import Collection
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brats_ml.cohort.labels import LABELS, LabelMap
from brats_ml.imaging.geometry import Box, bounding_box
from brats_ml.reports.panels import MARGIN_VOXELS, draw_slice, label_legend, mark_sides

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}  # the axis that is perpendicular to the plane
HEAD_INCHES = 2.75


def three_planes(
    background: NDArray[Any],
    reference: LabelMap,
    predicted: LabelMap,
    *,
    title: str,
    modality: str,
    labels: Collection[str] = tuple(LABELS),
) -> Figure:
    """Draw the axial, coronal and sagittal plane through the centre of the tumour, each with reference and prediction.

    In axial and coronal planes, the right side of the patient is on the left. In sagittal planes, the front of the head
    is on the left.

    Args:
        background: The canonical volume, shape (X, Y, Z), with any intensity scale.
        reference: The canonical reference label map, shape (X, Y, Z).
        predicted: The canonical predicted label map, shape (X, Y, Z).
        title: The title, with the name and the score of the case.
        modality: The name of the background's modality.
        labels: The labels that the cohort outlines.
    """
    centre = tumour_centre(reference, predicted)
    box = head_box(background)
    volumes = [volume[box] for volume in (background, reference, predicted)]
    shape, cropped_centre = volumes[0].shape, [at - side.start for at, side in zip(centre, box, strict=True)]
    # All planes have the same scale.
    widths = [shape[0], shape[0], shape[1]]
    inch = HEAD_INCHES / max(shape)
    figure = Figure(figsize=(2 * sum(widths) * inch + 0.3, max(shape[1:]) * inch + 1.15), layout="constrained")
    figure.suptitle(title, fontsize=13, fontweight="bold", x=0.005, ha="left")
    parts = figure.subfigures(1, len(PLANES), squeeze=False, width_ratios=widths, wspace=0.0)[0]
    for part, plane in zip(parts, reversed(PLANES), strict=True):
        axis = PLANES[plane]
        part.suptitle(f"{plane}, slice {centre[axis]}", fontsize=10.5, fontweight="bold", color="#5B6472")
        grey, *maps = (plane_of(volume, axis, cropped_centre[axis]) for volume in volumes)
        for axes, drawn, name in zip(part.subplots(1, 2), maps, ("reference", "predicted"), strict=True):
            draw_slice(axes, grey, drawn)
            axes.set_title(name, fontsize=10)
            axes.set_anchor("N")
            mark_sides(axes, "AP" if plane == "sagittal" else "RL")
    label_legend(figure, labels=labels)
    figure.text(0.995, 0.01, f"background: {modality}", ha="right", va="bottom", fontsize=10, color="#555555")
    return figure


def tumour_centre(reference: LabelMap, predicted: LabelMap) -> tuple[int, int, int]:
    """Return the tumour voxel nearest to the centre of mass, so that every plane through it shows tumour.

    The tumour is that of the reference, or else that of the prediction. Without any tumour, return the centre of the
    volume.
    """
    for labels in (reference, predicted):
        voxels = np.argwhere(labels)
        if len(voxels):
            nearest = voxels[np.square(voxels - voxels.mean(axis=0)).sum(axis=1).argmin()]
            return int(nearest[0]), int(nearest[1]), int(nearest[2])
    x, y, z = reference.shape
    return x // 2, y // 2, z // 2


def plane_of(volume: NDArray[Any], axis: int, index: int) -> NDArray[Any]:
    """Return a plane of a canonical volume as rows and columns of an image, with the front or top of the head up."""
    plane: NDArray[Any] = np.moveaxis(volume, axis, 0)[index].T
    # Rows run downwards. Their direction in the volume is to the back in axial planes, as wanted, else to the top.
    return plane if axis == PLANES["axial"] else plane[::-1]


def head_box(background: NDArray[Any]) -> Box:
    """Return the box of the nonzero voxels with a margin, or the box of the whole volume if it is empty."""
    sides = bounding_box(background != 0)
    if sides[0].stop == 0:
        return tuple(slice(0, size) for size in background.shape)
    return tuple(
        slice(max(side.start - MARGIN_VOXELS, 0), min(side.stop + MARGIN_VOXELS, size))
        for side, size in zip(sides, background.shape, strict=True)
    )
