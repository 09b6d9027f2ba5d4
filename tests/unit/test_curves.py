import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from brats_ml.reports.curves import learning_curve

SEED = {"epoch": [1, 2], "learning_rate": [1e-3, 1e-4], "loss": [1.0, 0.5], "val_loss": [1.1, 0.7]}


def lines(axes: Axes) -> dict[str, list[float]]:
    return {str(line.get_label()): list(np.asarray(line.get_ydata())) for line in axes.lines}


@pytest.mark.parametrize("held_out", [True, False])
def test_losses_are_drawn_as_far_as_there_are_any(held_out: bool) -> None:
    history = pd.DataFrame(SEED)
    if not held_out:
        history = history.drop(columns="val_loss")

    losses, rates = learning_curve(history).axes

    assert lines(losses) == dict([("training", [1.0, 0.5]), ("validation", [1.1, 0.7])][: 1 + held_out])
    np.testing.assert_array_equal(rates.lines[0].get_ydata(), [1e-3, 1e-4])


def test_several_dice_have_a_colour_each_and_the_parts_a_line_style_each() -> None:
    history = pd.DataFrame(SEED | {"dice_WT": 0.5, "val_dice_WT": 0.4, "dice_ET": 0.3, "val_dice_ET": 0.2})

    dice = learning_curve(history).axes[1]

    drawn = {line.get_label(): (line.get_color(), line.get_linestyle()) for line in dice.lines}
    assert set(drawn) == {"WT, training", "WT, validation", "ET, training", "ET, validation"}
    assert drawn["WT, training"][0] == drawn["WT, validation"][0] != drawn["ET, training"][0]
    assert drawn["WT, training"][1] == drawn["ET, training"][1] != drawn["WT, validation"][1]


def test_a_lone_dice_is_called_by_its_own_name() -> None:
    dice = learning_curve(pd.DataFrame(SEED | {"baseline_dice_coef": 0.5})).axes[1]

    assert dice.get_ylabel() == "baseline dice coef"


def test_rows_without_a_measurement_leave_no_gap() -> None:
    history = pd.DataFrame({"step": [10, 20, 30], "loss": [1.0, 0.8, 0.7], "val_loss": [np.nan, 0.9, np.nan]})

    (losses,) = learning_curve(history).axes

    assert lines(losses)["validation"] == [0.9]
    assert losses.get_xlabel() == "step"


def test_columns_of_other_kinds_are_left_out() -> None:
    assert len(learning_curve(pd.DataFrame(SEED | {"accuracy": 0.9, "seconds": 3.0})).axes) == 2


@pytest.mark.parametrize(("losses", "scale"), [([1.0, 0.5], "log"), ([1.0, -0.5], "linear"), ([1.0, 0.0], "linear")])
def test_the_scale_is_logarithmic_where_it_can_be(losses: list[float], scale: str) -> None:
    (axes,) = learning_curve(pd.DataFrame({"epoch": [1, 2], "loss": losses})).axes

    assert axes.get_yscale() == scale
