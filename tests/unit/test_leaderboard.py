import numpy as np

from brats_ml.intervals import Interval
from brats_ml.reports.leaderboard import leaderboard_figure


def test_every_recipe_has_its_point_and_interval_in_each_column() -> None:
    figure = leaderboard_figure(
        {
            "regions3d": [Interval(0.8, 0.7, 0.9, "t"), Interval(0.6, 0.5, 0.7, "t")],
            "baseline": [Interval(0.1, 0.0, 0.2, "t"), Interval(0.2, 0.1, 0.3, "t")],
        },
        ["WT", "ET"],
    )

    whole, enhancing = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["WT", "ET"]
    assert [text.get_text() for text in whole.get_yticklabels()] == ["regions3d", "baseline"]
    drawn = [np.asarray(line.get_xdata()).tolist() for line in enhancing.lines]
    assert drawn == [[0.5, 0.7], [0.6], [0.1, 0.3], [0.2]]
    assert [text.get_text() for text in enhancing.texts] == ["0.600\n0.50 to 0.70", "0.200\n0.10 to 0.30"]


def test_the_best_recipe_is_at_the_top() -> None:
    (axes,) = leaderboard_figure(
        {"a": [Interval(0.8, None, None, None)], "b": [Interval(0.7, None, None, None)]}, ["WT"]
    ).axes

    assert axes.yaxis_inverted()


def test_a_mean_without_an_interval_is_a_point_alone() -> None:
    (axes,) = leaderboard_figure({"baseline": [Interval(0.8, None, None, None)]}, ["WT"]).axes

    assert [np.asarray(line.get_xdata()).tolist() for line in axes.lines] == [[0.8]]
