"""A figure that compares the scores of recipes with their intervals."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from brats_ml.intervals import Interval

POINT, INTERVAL = "#0B5FA5", "#9CC3E6"
BEST = "#F4F8FC"


def leaderboard_figure(recipes: Mapping[str, Sequence[Interval]], measures: Sequence[str]) -> Figure:
    """Draw the mean and the 95 % interval of each recipe (row) and measure (column), on a scale from 0 to 1.

    Args:
        recipes: The recipes by name, best first, each with one interval per measure.
        measures: The titles of the columns.
    """
    figure = Figure(figsize=(9.6, 1.05 + 0.55 * len(recipes)), layout="constrained")
    columns = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for column, (axes, measure) in enumerate(zip(columns, measures, strict=True)):
        axes.axhspan(-0.5, 0.5, color=BEST, zorder=0)
        for row, estimates in enumerate(recipes.values()):
            score = estimates[column]
            if score.low is not None and score.high is not None:
                axes.plot([score.low, score.high], [row, row], color=INTERVAL, linewidth=6, solid_capstyle="round")
            axes.plot(score.mean, row, "o", color=POINT, markersize=6)
            # Write the number on the side with more room.
            left = score.mean > 0.5
            offset = -6 if left else 6
            edge = score.low if left else score.high
            axes.annotate(
                _label(score),
                (score.mean if edge is None else edge, row),
                xytext=(offset, 0),
                textcoords="offset points",
                ha="right" if left else "left",
                va="center",
                fontsize=8.5,
                linespacing=1.25,
            )
        axes.set_title(measure, fontsize=11)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_locator(MultipleLocator(0.5))
        axes.xaxis.set_minor_locator(MultipleLocator(0.1))
        axes.grid(axis="x", which="both", alpha=0.2)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    columns[0].set_yticks(range(len(recipes)), list(recipes))
    columns[0].set_ylim(len(recipes) - 0.5, -0.5)
    figure.supxlabel("Mean Dice over the validation cases with its 95 % interval", fontsize=9.5, color="#555555")
    return figure


def _label(score: Interval) -> str:
    """Return the mean and, on a second line, its interval, so that a printed figure has all its numbers."""
    interval = "" if score.low is None or score.high is None else f"\n{score.low:.2f} to {score.high:.2f}"
    return f"{score.mean:.3f}{interval}"
