"""Learning curves, from whatever columns a history has."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

HELD_OUT = "val_"
# Colours that people with any colour vision tell apart (Okabe and Ito), those of them that show on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
FEW_POINTS = 30


def learning_curve(history: pd.DataFrame) -> Figure:
    """Draw the loss over the epochs, below it every Dice there is, and the learning rate; training and validation.

    Args:
        history: One row an epoch, or a step. `epoch` or else `step` is what the rows are drawn over; columns that end
            in `loss` or have `dice` in their name are drawn, those that begin with `val_` as validation;
            `learning_rate` too. An empty cell is a row without that measurement. Other columns are left out.
    """
    along = next((name for name in ("epoch", "step") if name in history), None)
    at = history[along] if along else pd.Series(range(1, len(history) + 1), index=history.index)
    panels = _panels([str(name) for name in history])
    heights = [1 if label == "learning rate" else 3 for label in panels]
    figure = Figure(figsize=(7.2, 0.9 + 0.75 * sum(heights)), layout="constrained")
    drawn = figure.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for axes, (label, columns) in zip(drawn, panels.items(), strict=True):
        axes.set_ylabel(_axis_name(label, columns))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        if label == "learning rate":
            axes.step(at, history["learning_rate"], where="mid", color="#555555")
        else:
            _draw_measures(axes, at, history[columns])
        if label == "Dice":
            axes.set_ylim(0, 1)
        elif (history[columns].min() > 0).all():
            _scale_by_decades(axes)
    drawn[-1].set_xlabel(along or "row")
    drawn[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def _panels(names: Sequence[str]) -> dict[str, list[str]]:
    """Return which columns are drawn together, by what they are."""
    panels = {
        "loss": [name for name in names if name.endswith("loss")],
        "Dice": [name for name in names if "dice" in name and not name.endswith("loss")],
        "learning rate": [name for name in names if name == "learning_rate"],
    }
    return {label: columns for label, columns in panels.items() if columns}


def _axis_name(label: str, columns: Sequence[str]) -> str:
    """Return what a panel shows: its one measure by name, several of them by what they have in common."""
    measures = {name.removeprefix(HELD_OUT) for name in columns}
    return measures.pop().replace("_", " ") if len(measures) == 1 else label


def _draw_measures(axes: Axes, at: "pd.Series[Any]", columns: pd.DataFrame) -> None:
    """Draw measures of training dashed and of validation solid, one colour a measure; a lone one has two colours."""
    measures = list(dict.fromkeys(str(name).removeprefix(HELD_OUT) for name in columns))
    for name, values in columns.items():
        held_out = str(name).startswith(HELD_OUT)
        measure = str(name).removeprefix(HELD_OUT)
        part = "validation" if held_out else "training"
        known = values.notna()
        axes.plot(
            at[known],
            values[known],
            color=COLOURS[int(held_out) if len(measures) == 1 else measures.index(measure) % len(COLOURS)],
            linestyle="-" if held_out else "--",
            marker="o" if known.sum() < FEW_POINTS else None,
            markersize=3,
            linewidth=1.4,
            label=part if len(measures) == 1 else f"{_spoken(measure, measures)}, {part}",
        )
    axes.legend(frameon=False, fontsize=8.5, ncols=1 if len(measures) == 1 else 2)


def _spoken(measure: str, measures: Sequence[str]) -> str:
    """Return the part of a measure's name that the others do not share: WT for `dice_WT` among Dice alone."""
    shared = all(name.startswith("dice_") for name in measures)
    return measure.removeprefix("dice_") if shared else measure


def _scale_by_decades(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
