"""Figures of slices with labels. Equal input gives equal bytes, and no display is needed."""

from collections.abc import Collection
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

from brats_ml.cohort.labels import LABELS, TITLES, VALUES, LabelMap
from brats_ml.imaging.geometry import bounding_box

# Colours of Okabe and Ito that are bright enough on grey. People with any colour vision can distinguish them.
COLOURS = {"NCR": "#D55E00", "ED": "#56B4E9", "ET": "#F0E442", "RC": "#CC79A7", "CC": "#009E73"}
NAMES = TITLES
PANEL_INCHES = 2.2
MARGIN_VOXELS = 4
DPI = 110


def six_panels(
    image: NDArray[Any],
    reference: LabelMap,
    predicted: LabelMap,
    *,
    title: str,
    modality: str = "FLAIR",
    labels: Collection[str] = tuple(LABELS),
) -> Figure:
    """Draw the axial slice with the most reference tumour in six panels, or one more for each further label.

    The panels show an image, the reference, the prediction, and each predicted label. As usual in radiology, the front
    of the head is up, and the right side of the patient is on the left.

    Args:
        image: The canonical volume, shape (X, Y, Z), with any intensity scale.
        reference: The canonical reference label map, shape (X, Y, Z).
        predicted: The canonical predicted label map, shape (X, Y, Z).
        title: The name of the case.
        modality: The name of the image's modality.
        labels: The labels that the cohort outlines.
    """
    z = _fullest_slice(reference, predicted, image)
    rows, columns = _view(image[..., z])
    grey, truth, found = (volume[..., z].T[rows, columns] for volume in (image, reference, predicted))
    height = PANEL_INCHES * grey.shape[0] / grey.shape[1]
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.04, wspace=0.0)
    figure = Figure(figsize=((3 + len(labels)) * PANEL_INCHES, height + 0.95), layout=layout)
    figure.suptitle(f"{title}, axial slice {z}", fontsize=13, fontweight="bold", x=0.005, ha="left")
    panels: list[tuple[str, LabelMap | None]] = [
        (modality, None),
        ("Reference", truth),
        ("Predicted, all labels", found),
        *((f"Predicted, {NAMES[label]}", found * (found == VALUES[label])) for label in labels),
    ]
    for index, (axes, (name, drawn)) in enumerate(zip(figure.subplots(1, len(panels)), panels, strict=True)):
        draw_slice(axes, grey, drawn)
        axes.set_title(name, fontsize=10)
        if index > 2:
            _outline(axes, truth == VALUES[list(labels)[index - 3]])
    mark_sides(figure.axes[0])
    label_legend(figure, Line2D([], [], color="white", linewidth=1.2, label="outline: reference"), labels=labels)
    return figure


def figure_png(figure: Figure, *, dpi: int = DPI) -> bytes:
    """Return a figure as PNG, without the name and version of matplotlib."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def write_figure(path: Path, figure: Figure, *, dpi: int = DPI) -> None:
    """Write a figure as PNG, and create its folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(figure_png(figure, dpi=dpi))


def draw_slice(axes: Axes, grey: NDArray[Any], labels: LabelMap | None) -> None:
    """Draw a plane in grey and its labels in colour.

    Args:
        axes: The axes to draw on.
        grey: The plane, shape (row, column), with any intensity scale; 0 is outside the brain.
        labels: The canonical labels, shape (row, column), or None to draw only the plane.
    """
    # A few very bright vessels would darken the rest of the brain.
    brightest = np.percentile(grey[grey != 0], 99.5) if grey.any() else 1.0
    axes.imshow(grey, cmap="gray", vmin=0, vmax=brightest, interpolation="bilinear")
    if labels is not None:
        palette = np.zeros((1 + max(VALUES.values()), 4))
        for label, value in VALUES.items():
            palette[value] = to_rgba(COLOURS[label], alpha=0.72)
        axes.imshow(palette[labels], interpolation="nearest")
    axes.set_axis_off()


def mark_sides(axes: Axes, sides: str = "RL") -> None:
    """Write one letter at each edge of a plane: first the side of the patient on the left, then that on the right."""
    for x, name in zip((0.03, 0.97), sides, strict=True):
        axes.text(x, 0.5, name, transform=axes.transAxes, color="white", fontsize=9, ha="center", va="center")


def label_legend(figure: Figure, *more: Line2D, labels: Collection[str] = tuple(LABELS)) -> None:
    """Add a legend with the colours of the labels and any other lines below a figure."""
    handles = [*(Patch(color=COLOURS[label], label=f"{NAMES[label]} ({label})") for label in labels), *more]
    legend = figure.legend(
        handles=handles, loc="outside lower left", ncols=len(labels) + 1, fontsize=10.5, frameon=True
    )
    # The colours are chosen for grey slices, and hardly visible on white.
    legend.get_frame().set(facecolor="#303030", edgecolor="none")
    for text in legend.get_texts():
        text.set_color("white")


def _fullest_slice(*volumes: NDArray[Any]) -> int:
    """Return the axial slice with the most nonzero voxels in the first volume that has any, or the middle slice."""
    for volume in volumes:
        filled = np.count_nonzero(volume, axis=(0, 1))
        if filled.any():
            return int(filled.argmax())
    return int(volumes[0].shape[-1]) // 2


def _view(plane: NDArray[Any]) -> tuple[slice, slice]:
    """Return the rows and columns around the nonzero pixels of a plane, or all of them if the plane is empty."""
    box = bounding_box(plane != 0)
    if box[0].stop == 0:
        return slice(None), slice(None)
    columns, rows = (slice(max(side.start - MARGIN_VOXELS, 0), side.stop + MARGIN_VOXELS) for side in box)
    return rows, columns


def _outline(axes: Axes, mask: NDArray[np.bool_]) -> None:
    if mask.any():
        axes.contour(mask, levels=[0.5], colors="white", linewidths=0.8)
