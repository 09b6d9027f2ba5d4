"""The cases that were kept out, each with a picture, so that a person sees what is wrong without opening a viewer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

PANEL_INCHES = 2.2
TEXT_WIDTH = 34
ALARM = "#b00020"


@dataclass(frozen=True)
class KeptOut:
    """One case of the quarantine.

    Attributes:
        case_id: Its name.
        reasons: What keeps it out, clause by clause.
        picture: File name of its picture beside the page.
    """

    case_id: str
    reasons: Sequence[str]
    picture: str


def quarantine_picture(volumes: Mapping[str, NDArray[np.generic] | str]) -> Figure:
    """Draw the middle slice of each volume along its last axis, as it is stored.

    Args:
        volumes: Role to a volume, shape (I, J, K), or to the reason why there is none.
    """
    figure = Figure(figsize=(PANEL_INCHES * max(len(volumes), 1), PANEL_INCHES + 0.4), layout="constrained")
    panels = figure.subplots(1, max(len(volumes), 1), squeeze=False)[0]
    for axes in panels:
        axes.set_axis_off()
    for axes, (role, volume) in zip(panels, volumes.items(), strict=False):
        axes.set_title(role, fontsize=10)
        if isinstance(volume, str):
            _say(axes, volume)
        else:
            _draw(axes, volume, is_label_map=role == "seg")
    return figure


def quarantine_page(kept_out: Sequence[KeptOut], *, cases: int) -> str:
    """Return the page of all cases kept out, as HTML that needs no network but the pictures beside it."""
    environment = Environment(
        loader=PackageLoader("brats_ml.reports"), undefined=StrictUndefined, autoescape=True, trim_blocks=True
    )
    return environment.get_template("quarantine.html").render(kept_out=kept_out, cases=cases)


def _draw(axes: Axes, volume: NDArray[np.generic], *, is_label_map: bool) -> None:
    plane = np.asarray(volume[..., volume.shape[-1] // 2], dtype=np.float64).T
    shown = np.ma.masked_invalid(plane)
    filled = plane[np.isfinite(plane) & (plane != 0)]
    if is_label_map or not filled.size:
        axes.imshow(shown, cmap="viridis" if is_label_map else "gray", interpolation="nearest")
        return
    # A few very bright vessels would darken all the rest.
    low, high = min(float(filled.min()), 0.0), float(np.percentile(filled, 99.5))
    axes.imshow(
        shown,
        cmap=colormaps["gray"].with_extremes(bad=ALARM),
        vmin=low,
        vmax=max(high, low + 1e-6),
        interpolation="nearest",
    )


def _say(axes: Axes, reason: str) -> None:
    lines = wrap(reason, TEXT_WIDTH, max_lines=8)
    axes.set_box_aspect(1)
    text = axes.text(0.5, 0.5, "\n".join(lines), fontsize=7, color=ALARM, ha="center", va="center")
    text.set_transform(axes.transAxes)
