"""The page of quarantined cases, with one picture per case that shows its volumes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from brats_ml.untrusted_text import CONTENT_POLICY

PANEL_INCHES = 2.2
TEXT_WIDTH = 34
ALARM = "#b00020"


@dataclass(frozen=True)
class KeptOut:
    """A quarantined case.

    Attributes:
        case_id: The name of the case.
        reasons: The reasons for the quarantine.
        picture: The file name of the picture, in the folder of the page.
    """

    case_id: str
    reasons: Sequence[str]
    picture: str


def quarantine_picture(volumes: Mapping[str, NDArray[np.generic] | str]) -> Figure:
    """Draw the middle slice of each volume along its last axis, in its stored orientation.

    Args:
        volumes: The volumes by role, shape (I, J, K), or the reason why there is none.
    """
    figure = Figure(figsize=(PANEL_INCHES * max(len(volumes), 1), PANEL_INCHES + 0.4), layout="constrained")
    panels = figure.subplots(1, max(len(volumes), 1), squeeze=False)[0]
    for axes in panels:
        axes.set_axis_off()
    for axes, (role, volume) in zip(panels, volumes.items(), strict=False):
        axes.set_title(role, fontsize=10)
        if isinstance(volume, str):
            _write(axes, volume)
        else:
            _draw(axes, volume, is_label_map=role == "seg")
    return figure


def quarantine_page(kept_out: Sequence[KeptOut], *, cases: int) -> str:
    """Return the page as HTML. It loads only the pictures in its folder.

    Args:
        kept_out: The quarantined cases.
        cases: The number of all cases.
    """
    environment = Environment(
        loader=PackageLoader("brats_ml.reports"), undefined=StrictUndefined, autoescape=True, trim_blocks=True
    )
    template = environment.get_template("quarantine.html")
    return template.render(policy=CONTENT_POLICY, kept_out=kept_out, cases=cases)


def _draw(axes: Axes, volume: NDArray[np.generic], *, is_label_map: bool) -> None:
    plane = np.asarray(volume[..., volume.shape[-1] // 2], dtype=np.float64).T
    shown = np.ma.masked_invalid(plane)
    filled = plane[np.isfinite(plane) & (plane != 0)]
    if is_label_map or not filled.size:
        axes.imshow(shown, cmap="viridis" if is_label_map else "gray", interpolation="nearest")
        return
    # A few very bright vessels would darken the rest of the brain.
    low, high = min(float(filled.min()), 0.0), float(np.percentile(filled, 99.5))
    axes.imshow(
        shown,
        cmap=colormaps["gray"].with_extremes(bad=ALARM),
        vmin=low,
        vmax=max(high, low + 1e-6),
        interpolation="nearest",
    )


def _write(axes: Axes, reason: str) -> None:
    lines = wrap(reason, TEXT_WIDTH, max_lines=8)
    axes.set_box_aspect(1)
    text = axes.text(0.5, 0.5, "\n".join(lines), fontsize=7, color=ALARM, ha="center", va="center")
    text.set_transform(axes.transAxes)
