"""What differs between two versions of params.yaml, and what of it weakens the gate."""

from typing import Any

import pytest

from brats_ml.config import Params
from brats_ml.config.differences import GATE, WEAKER_IF, differences, leaves, weakens
from brats_ml.config.edit import Change


def test_every_value_that_differs_has_its_key_and_both_values() -> None:
    before = {"a": {"b": 1, "c": [1, 2]}, "d": None, "e": "x"}
    after = {"a": {"b": 2, "c": [1, 2]}, "d": 3}

    assert differences(before, after) == [Change("a.b", 1, 2), Change("d", None, 3), Change("e", "x", None)]


@pytest.mark.parametrize(
    ("key", "before", "after", "weaker"),
    [
        ("gate.patients.segmentation.minimum_dice.WT", 0.7, 0.0, True),
        ("gate.patients.segmentation.minimum_dice.WT", 0.7, 0.8, False),
        ("gate.patients.segmentation.minimum_dice.WT", 0.7, None, True),
        ("gate.patients.segmentation.minimum_dice.WT", None, 0.7, False),
        ("gate.patients.segmentation.minimum_cases", 10, 1, True),
        ("gate.patients.approve_first", True, False, True),
        ("gate.segmentation.level", 0.005, 0.5, True),
        ("gate.survival.largest_loss", 0.03, 0.01, False),
        ("gate.segmentation.fallen_share", 0.25, 1.0, True),
        ("gate.fresh_cases", 20, 1, True),
        ("gate.segmentation.largest_difference", 0.05, 1.0, True),
        ("gate.of_another_revision", 1, 2, True),
        ("train.minimum_cases", 10, 1, False),
    ],
)
def test_a_condition_that_accepts_more_models_is_weaker(key: str, before: Any, after: Any, weaker: bool) -> None:
    assert weakens(Change(key, before, after)) is weaker


def test_every_condition_of_the_gate_has_a_direction(params: Params) -> None:
    for key, _ in leaves({"gate": params.gate.model_dump()}):
        assert key.startswith(GATE)
        assert set(key.split(".")) & WEAKER_IF.keys(), key
