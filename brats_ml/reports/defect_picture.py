"""The picture of a defect: one slice of one or more images, with the wrong voxels in red."""

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brats_ml.imaging.quality.defect import PLANES

PANEL_INCHES = 2.8
ALARM, LINE = "#ff2d2d", "#ffd23f"

Plane = NDArray[np.generic]
PlaneMask = NDArray[np.bool_]


def defect_picture(
    planes: Mapping[str, Plane], *, marked: PlaneMask | None, outlined: PlaneMask | None, axes: str, axis: int
) -> Figure:
    """Draw a slice of each image, with the front or top of the head up and the right side of the patient on the left.

    Args:
        planes: The slices by modality, of one shape, as stored.
        marked: The voxels to paint red in the first slice, or None.
        outlined: The voxels to draw a line around, or None.
        axes: The directions of the stored axes, such as LPS.
        axis: The stored axis that is perpendicular to the slices.
    """
    codes = axes[:axis] + axes[axis + 1 :]
    figure = Figure(figsize=(PANEL_INCHES * len(planes), PANEL_INCHES + 0.3), layout="constrained")
    panels = figure.subplots(1, len(planes), squeeze=False)[0]
    for number, (panel, (role, plane)) in enumerate(zip(panels, planes.items(), strict=True)):
        panel.set_axis_off()
        panel.set_title(role, fontsize=10)
        _draw(panel, upright(plane, codes))
        if marked is not None and number == 0:
            panel.imshow(np.array([to_rgba("none"), to_rgba(ALARM, alpha=0.7)])[upright(marked, codes).astype(np.intp)])
        if outlined is not None and outlined.any() and not outlined.all():
            panel.contour(upright(outlined, codes), levels=[0.5], colors=LINE, linewidths=0.9)
    return figure


def upright(plane: NDArray[np.generic], codes: str) -> NDArray[np.generic]:
    """Return a stored plane as rows and columns of an image as radiologists look at it.

    Args:
        plane: Shape (first axis, second axis), as stored.
        codes: The directions of both axes, such as LP. An unknown direction is drawn as it is.
    """
    kinds = [PLANES.get(code, "") for code in codes]
    # Columns are left to right, or front to back where the plane has no left and right.
    columns = kinds.index("sagittal") if "sagittal" in kinds else kinds.index("coronal") if "coronal" in kinds else 0
    image, along_rows, along_columns = (plane.T, codes[1], codes[0]) if columns == 0 else (plane, codes[0], codes[1])
    if along_rows in "AS":
        image = image[::-1]
    return image[:, ::-1] if along_columns in "RA" else image


def _draw(axes: Axes, plane: Plane) -> None:
    grey = np.asarray(plane, dtype=np.float64)
    filled = grey[np.isfinite(grey) & (grey != 0)]
    # A few very bright vessels would darken the rest of the brain.
    low, high = (min(float(filled.min()), 0.0), float(np.percentile(filled, 99.5))) if filled.size else (0.0, 1.0)
    axes.imshow(
        np.ma.masked_invalid(grey),
        cmap=colormaps["gray"].with_extremes(bad=ALARM),
        vmin=low,
        vmax=max(high, low + 1e-6),
        interpolation="nearest",
    )
