"""Learning curves of the columns that a training history has."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

HELD_OUT = "val_"
# The colours of Okabe and Ito that are visible on white. People with any colour vision can distinguish them.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
FEW_POINTS = 30


def learning_curve(history: pd.DataFrame) -> Figure:
    """Draw the losses, the Dice scores and the learning rate over the epochs, each in a panel if the history has them.

    Args:
        history: The history, one row per epoch or step. The x axis is the column `epoch`, else `step`, else the number
            of the row. Columns that end in `loss` are losses, and columns with `dice` in their name are Dice scores.
            The prefix `val_` marks validation. Except `learning_rate`, other columns are ignored. An empty cell is
            not drawn.
    """
    x_name = next((name for name in ("epoch", "step") if name in history), None)
    x = history[x_name] if x_name else pd.Series(range(1, len(history) + 1), index=history.index)
    panels = _panels([str(name) for name in history])
    heights = [1 if label == "learning rate" else 3 for label in panels]
    figure = Figure(figsize=(7.2, 0.9 + 0.75 * sum(heights)), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for axes, (label, columns) in zip(all_axes, panels.items(), strict=True):
        axes.set_ylabel(_axis_name(label, columns))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        if label == "learning rate":
            axes.step(x, history["learning_rate"], where="mid", color="#555555")
        else:
            _draw_measures(axes, x, history[columns])
        if label == "Dice":
            axes.set_ylim(0, 1)
        elif (history[columns].min() > 0).all():
            _scale_by_decades(axes)
    all_axes[-1].set_xlabel(x_name or "row")
    all_axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _panels(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the columns of each panel by its label."""
    panels = {
        "loss": [name for name in names if name.endswith("loss")],
        "Dice": [name for name in names if "dice" in name and not name.endswith("loss")],
        "learning rate": [name for name in names if name == "learning_rate"],
    }
    return {label: columns for label, columns in panels.items() if columns}


def _axis_name(label: str, columns: Sequence[str]) -> str:
    """Return the name of the only measure in a panel, or the label of the panel for several measures."""
    measures = {name.removeprefix(HELD_OUT) for name in columns}
    return measures.pop().replace("_", " ") if len(measures) == 1 else label


def _draw_measures(axes: Axes, x: "pd.Series[Any]", columns: pd.DataFrame) -> None:
    """Draw training dashed and validation solid, one colour per measure; a single measure has two colours."""
    measures = list(dict.fromkeys(str(name).removeprefix(HELD_OUT) for name in columns))
    for name, values in columns.items():
        held_out = str(name).startswith(HELD_OUT)
        measure = str(name).removeprefix(HELD_OUT)
        part = "validation" if held_out else "training"
        known = values.notna()
        axes.plot(
            x[known],
            values[known],
            color=COLOURS[int(held_out) if len(measures) == 1 else measures.index(measure) % len(COLOURS)],
            linestyle="-" if held_out else "--",
            marker="o" if known.sum() < FEW_POINTS else None,
            markersize=3,
            linewidth=1.4,
            label=part if len(measures) == 1 else f"{_short_name(measure, measures)}, {part}",
        )
    axes.legend(frameon=False, fontsize=8.5, ncols=1 if len(measures) == 1 else 2)


def _short_name(measure: str, measures: Sequence[str]) -> str:
    """Return the name of a measure without the prefix `dice_` if all measures have it."""
    shared = all(name.startswith("dice_") for name in measures)
    return measure.removeprefix("dice_") if shared else measure


def _scale_by_decades(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
