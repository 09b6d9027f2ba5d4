"""The page on which a person approves a promotion."""

from datetime import UTC, datetime
from typing import Any

from brats_ml.config import Params
from brats_ml.config.edit import Change
from brats_ml.orchestration.dag.approval_page import page, subject

FLOOR = "gate.synthetic.segmentation.minimum_cases"
VERDICT = {"markdown": "### brats-segmentation v2: PROMOTE", "models": ["brats-segmentation v2"]}


def text(params: Params, *changes: Change) -> str:
    gate: dict[str, Any] = params.gate.model_dump(mode="json")
    for change in changes:
        if change.key == FLOOR:
            gate["synthetic"]["segmentation"]["minimum_cases"] = change.after
    return page(
        VERDICT,
        gate=gate,
        changes=changes,
        links={"Report": "http://mlflow/report", "MLflow": "http://mlflow/run"},
        deadline=datetime(2026, 12, 1, 9, 30, tzinfo=UTC),
    )


def test_the_question_names_the_models() -> None:
    assert subject(VERDICT) == "May brats-segmentation v2 become champion?"


def test_the_page_has_deadline_verdict_links_and_every_condition_of_the_gate(params: Params) -> None:
    shown = text(params)

    assert "Without an answer by 2026-12-01 09:30 UTC, the models are rejected." in shown
    assert VERDICT["markdown"] in shown
    assert "[Report](http://mlflow/report) · [MLflow](http://mlflow/run)" in shown
    assert f"| `gate.segmentation.level` | `{params.gate.segmentation.level}` | |" in shown
    assert f"| `{FLOOR}` | `{params.gate.synthetic.segmentation.minimum_cases}` | |" in shown
    assert "The form changed no other parameter of params.yaml." in shown
    assert "weaker" not in shown


def test_a_weaker_condition_is_named_before_the_verdict_and_marked_among_the_conditions(params: Params) -> None:
    shown = text(params, Change(FLOOR, 4, 1))

    warning, verdict = shown.index("made 1 condition(s) of the gate weaker"), shown.index(str(VERDICT["markdown"]))
    assert warning < shown.index(f"| `{FLOOR}` | `4` | `1` |") < verdict
    assert f"| **`{FLOOR}`** | **`1`** | **`4`: weaker** |" in shown


def test_changed_parameters_are_listed_without_credentials_and_cannot_break_the_table(params: Params) -> None:
    shown = text(params, Change("acquire.source", "phantom", "https://me:secret@host/a|b`c"))

    assert r"| `acquire.source` | `phantom` | `https://host/a\|b'c` |" in shown
