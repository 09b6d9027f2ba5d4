"""Slices of a case with its labels on them, drawn without a display; equal input gives equal bytes."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from brats_ml.cohort.labels import LABELS, LabelMap
from brats_ml.imaging.geometry import bounding_box

# Colours that people with any colour vision tell apart (Okabe and Ito), bright enough on grey.
COLOURS = {"NCR": "#D55E00", "ED": "#56B4E9", "ET": "#F0E442"}
NAMES = {"NCR": "necrotic core", "ED": "edema", "ET": "enhancing tumour"}
PANEL_INCHES = 2.2
MARGIN_VOXELS = 4


def six_panels(flair: NDArray[Any], reference: LabelMap, predicted: LabelMap, *, title: str) -> Figure:
    """Draw the axial slice with most reference tumour six times: bare, reference, prediction, and each label predicted.

    The slice lies as radiologists look at it: front of the head up, the patient's right on the left.

    Args:
        flair: Canonical volume, shape (X, Y, Z), any intensity scale.
        reference: Canonical label map of the same shape.
        predicted: Canonical label map of the same shape.
        title: What the case is called.
    """
    z = _fullest_slice(reference, predicted, flair)
    rows, columns = _view(flair[..., z])
    grey, truth, found = (volume[..., z].T[rows, columns] for volume in (flair, reference, predicted))
    height = PANEL_INCHES * grey.shape[0] / grey.shape[1]
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.04, wspace=0.0)
    figure = Figure(figsize=(6 * PANEL_INCHES, height + 0.95), layout=layout)
    figure.suptitle(f"{title}, axial slice {z}", fontsize=13, fontweight="bold", x=0.005, ha="left")
    panels: list[tuple[str, LabelMap | None]] = [
        ("FLAIR", None),
        ("Reference", truth),
        ("Predicted, all labels", found),
        *((f"Predicted, {NAMES[label]}", found * (found == LABELS[label])) for label in LABELS),
    ]
    for index, (axes, (name, labels)) in enumerate(zip(figure.subplots(1, 6), panels, strict=True)):
        draw_slice(axes, grey, labels)
        axes.set_title(name, fontsize=10)
        if index > 2:
            _outline(axes, truth == LABELS[list(LABELS)[index - 3]])
    mark_sides(figure.axes[0])
    label_legend(figure, Line2D([], [], color="white", linewidth=1.2, label="outline: reference"))
    return figure


def figure_png(figure: Figure) -> bytes:
    """Return a figure as PNG, without the name and version of the library that drew it."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, making its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(figure_png(figure))


def draw_slice(axes: Axes, grey: NDArray[Any], labels: LabelMap | None) -> None:
    """Draw a plane in grey, and over it its labels in their colours.

    Args:
        axes: Where to.
        grey: Shape (row, column), any intensity scale; 0 is outside the brain.
        labels: Canonical labels of the same shape, or None for the bare plane.
    """
    # A few very bright vessels would darken all the rest.
    brightest = np.percentile(grey[grey != 0], 99.5) if grey.any() else 1.0
    axes.imshow(grey, cmap="gray", vmin=0, vmax=brightest, interpolation="bilinear")
    if labels is not None:
        palette = np.zeros((1 + max(LABELS.values()), 4))
        for label, value in LABELS.items():
            palette[value] = to_rgba(COLOURS[label], alpha=0.72)
        axes.imshow(palette[labels], interpolation="nearest")
    axes.set_axis_off()


def mark_sides(axes: Axes, sides: str = "RL") -> None:
    """Write a letter at the left and the right edge of a plane: which side of the patient lies there."""
    for x, name in zip((0.03, 0.97), sides, strict=True):
        axes.text(x, 0.5, name, transform=axes.transAxes, color="white", fontsize=9, ha="center", va="center")


def label_legend(figure: Figure, *more: Line2D) -> None:
    """Say below a figure which colour is which label, and what else is drawn."""
    handles = [*(Patch(color=COLOURS[label], label=f"{NAMES[label]} ({label})") for label in LABELS), *more]
    legend = figure.legend(handles=handles, loc="outside lower left", ncols=4, fontsize=10.5, frameon=True)
    # The colours are chosen for grey slices and would be lost on white.
    legend.get_frame().set(facecolor="#303030", edgecolor="none")
    for text in legend.get_texts():
        text.set_color("white")


def _fullest_slice(*volumes: NDArray[Any]) -> int:
    """Return the axial slice with most non-zero voxels in the first volume that has any."""
    for volume in volumes:
        filled = np.count_nonzero(volume, axis=(0, 1))
        if filled.any():
            return int(filled.argmax())
    return int(volumes[0].shape[-1]) // 2


def _view(plane: NDArray[Any]) -> tuple[slice, slice]:
    """Return rows and columns of the displayed plane around its non-zero pixels, or all where there are none."""
    box = bounding_box(plane != 0)
    if box[0].stop == 0:
        return slice(None), slice(None)
    columns, rows = (slice(max(side.start - MARGIN_VOXELS, 0), side.stop + MARGIN_VOXELS) for side in box)
    return rows, columns


def _outline(axes: Axes, mask: NDArray[np.bool_]) -> None:
    if mask.any():
        axes.contour(mask, levels=[0.5], colors="white", linewidths=0.8)
