"""What a survival prediction says of its model."""

from typing import Any

import pytest

from brats_ml.survival.caveat import caveat, interval_days, model_quality

SUMMARY: dict[str, Any] = {
    "patients": 32,
    "accuracy": {"mean": 0.7357, "low": 0.5004, "high": 0.971, "method": "t"},
    "majority_accuracy": 0.3714,
}


@pytest.mark.parametrize(
    ("beaten", "said"),
    [(True, ", better than by age alone;"), (False, ", not shown to be better than"), (None, "37 %;")],
)
def test_a_caveat_has_accuracy_interval_and_what_it_beats(beaten: bool | None, said: str) -> None:
    against = {} if beaten is None else {"log_loss_against_age_only": {"beaten": beaten}}

    sentence = caveat(SUMMARY | against)

    assert sentence.startswith(
        "in cross-validation the group was right for 74 % of 32 patients (95 % interval 50 to 97 %)"
    )
    assert said in sentence


def test_a_model_of_the_baseline_protocol_has_no_figure() -> None:
    summary = {"search_accuracy": 0.6, "patients": 32}

    assert model_quality(summary) is None
    assert caveat(summary).startswith("this model was not cross-validated; for research")


@pytest.mark.parametrize(
    ("alive", "low", "high"),
    [([1, 0.95, 0.9, 0.1], 60, 90), ([1, 0.8, 0.5, 0.2], 30, None), ([1, 0.99, 0.98, 0.97], None, None)],
)
def test_an_interval_leaves_out_a_tenth_on_each_side(alive: list[float], low: float, high: float | None) -> None:
    assert interval_days([0, 30, 60, 90], alive) == {"low": low, "high": high}
