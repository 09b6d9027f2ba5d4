import numpy as np

from brats_ml.reports.survival_figures import (
    Curve,
    calibration_figure,
    distributions_figure,
    importance_figure,
    kaplan_meier_figure,
)


def test_curves_step_and_numbers_at_risk_stand_below() -> None:
    curve = Curve(np.array([0.0, 100.0, 300.0]), np.array([1.0, 0.5, 0.0]), np.array([4, 2, 0]))

    axes, numbers = kaplan_meier_figure({"short": curve}, [0, 200, 400], title="svm").axes

    np.testing.assert_array_equal(axes.lines[0].get_xdata(), curve.days)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), curve.shares)
    assert [text.get_text() for text in numbers.texts] == ["4", "2", "0"]
    assert [label.get_text() for label in numbers.get_yticklabels()] == ["short"]


def test_each_group_is_calibrated_in_a_panel_of_its_own() -> None:
    predicted, seen = np.array([0.2, 0.6]), np.array([0.1, 0.7])
    bins = (predicted, seen, seen - 0.1, seen + 0.1, np.array([5, 6]))

    figure = calibration_figure({"short": bins, "mid": bins, "long": bins}, title="svm")

    assert [axes.get_title() for axes in figure.axes] == [
        f"{group}, 11 patients in 2 bins" for group in ("short", "mid", "long")
    ]


def test_every_patient_is_a_point_of_the_own_group() -> None:
    features = np.arange(12.0).reshape(6, 2)
    groups = np.array(["short", "short", "mid", "long", "long", "long"])

    figure = distributions_figure(features, groups, ["age", "volume"], title="all")

    first = figure.axes[0]
    assert [len(line.get_xdata()) for line in first.lines] == [2, 1, 3]
    assert first.get_title() == "age"


def test_a_group_without_patients_is_drawn_without_a_median() -> None:
    figure = distributions_figure(np.ones((2, 1)), np.array(["short", "long"]), ["age"], title="all")

    assert len(figure.axes[0].collections) == 2


def test_the_most_important_feature_is_on_top() -> None:
    (axes,) = importance_figure({"a": 0.1, "b": 0.3, "c": -0.01}, title="svm").axes

    assert [label.get_text() for label in axes.get_yticklabels()] == ["c", "a", "b"]
