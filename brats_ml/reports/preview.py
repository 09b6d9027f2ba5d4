"""A small picture of one predicted case: three planes through the tumour, drawn in a fraction of a second."""

from collections.abc import Collection
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brats_ml.cohort.labels import LABELS, VALUES, LabelMap
from brats_ml.reports.overlays import PLANES, head_box, plane_of, tumour_centre
from brats_ml.reports.panels import COLOURS, figure_png

# Pixels per voxel along each side; the picture of a brain of 1 mm has about 900 x 360 pixels.
PIXELS = 2
LEGEND_PIXELS = 22
GAP_PIXELS = 6
OPACITY = 0.55
# The brightness of the picture comes from one voxel in 27.
THINNED = 3
DPI = 100


def preview_png(
    background: NDArray[Any], labels: LabelMap, *, modality: str, names: Collection[str] = tuple(LABELS)
) -> bytes:
    """Return the axial, coronal and sagittal plane through the tumour as PNG; equal input gives equal bytes.

    The right side of the patient is on the left; in the sagittal plane, the front of the head is. Without a tumour, the
    planes go through the middle of the head.

    Args:
        background: The canonical volume, shape (X, Y, Z), with any intensity scale; 0 is outside the brain.
        labels: The canonical predicted label map, shape (X, Y, Z).
        modality: The name of the background's modality.
        names: The labels that the model predicts.
    """
    box = head_box(background)
    shown, found = background[box], labels[box]
    centre = tumour_centre(found, found)
    seen = shown[::THINNED, ::THINNED, ::THINNED]
    brightest = float(np.percentile(seen[seen != 0], 99.5)) if seen.any() else 1.0
    pictures = []
    for axis in reversed(PLANES.values()):
        grey, drawn = (plane_of(volume, axis, centre[axis]) for volume in (shown, found))
        pictures.append(_coloured(np.clip(grey / brightest, 0, 1), drawn))
    height = max(picture.shape[0] for picture in pictures) + LEGEND_PIXELS
    width = sum(picture.shape[1] for picture in pictures) + GAP_PIXELS * (len(pictures) - 1)
    whole, left = np.zeros((height, width, 3)), 0
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="black")
    for picture, sides in zip(pictures, ("RL", "RL", "AP"), strict=True):
        rows, columns = picture.shape[:2]
        whole[:rows, left : left + columns] = picture
        for name, x in zip(sides, (left + 8, left + columns - 8), strict=True):
            figure.text(x / width, 1 - rows / 2 / height, name, color="white", fontsize=8, ha="center", va="center")
        left += columns + GAP_PIXELS
    figure.figimage(whole, origin="upper")
    _legend(figure, modality, names, height=height, width=width)
    return figure_png(figure, dpi=DPI)


def _coloured(grey: NDArray[Any], labels: LabelMap) -> NDArray[np.float64]:
    """Return a plane in colour, shape (row, column, 3), enlarged."""
    palette = np.zeros((1 + max(VALUES.values()), 3))
    for label, value in VALUES.items():
        palette[value] = to_rgb(COLOURS[label])
    opacity = OPACITY * (labels != 0)[..., None]
    picture = grey[..., None] * (1 - opacity) + palette[labels] * opacity
    enlarged: NDArray[np.float64] = picture.repeat(PIXELS, axis=0).repeat(PIXELS, axis=1)
    return enlarged


def _legend(figure: Figure, modality: str, names: Collection[str], *, height: int, width: int) -> None:
    middle = LEGEND_PIXELS / 2 / height
    for at, label in enumerate(names):
        figure.text((8 + 40 * at) / width, middle, label, color=COLOURS[label], fontsize=8, va="center")
    figure.text(1 - 8 / width, middle, modality, color="#BBBBBB", fontsize=8, ha="right", va="center")
