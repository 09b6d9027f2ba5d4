"""What a promotion does to the registry and the ledger, and when it refuses."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from brats_ml.actions import adopt, promote
from brats_ml.adapters.tracking.champions import CHAMPION, PREVIOUS
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.runs import KEY
from brats_ml.config import Params
from brats_ml.errors import ConfigError, MissingInputError, ModelError, TableError
from brats_ml.files import digest_value, file_digests, write_json, write_sealed
from brats_ml.workspace import Workspace
from tests.actions.registered_models import TRAINED


def decide(
    ws: Workspace, kind: str, verdict: str, *, version: int | None = None, champion: int | None = None
) -> dict[str, Any]:
    """Write a decision as the gate does."""
    decision = {
        "model": MODELS[kind],
        "version": version,
        "champion": champion,
        "verdict": verdict,
        "reasons": ["the test says so"],
        "measured": {},
    }
    write_json(ws.decision(kind), decision)
    return decision


def aliases(ws: Workspace, kind: str = "segmentation") -> dict[str, int]:
    found = MlflowClient(embedded_store(ws.state)).get_registered_model(MODELS[kind]).aliases
    return {alias: int(version) for alias, version in found.items()}


def ledger(ws: Workspace) -> list[dict[str, Any]]:
    path = ws.state.ledger.path
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_first_champion_gets_the_alias_and_a_line_in_the_ledger(ws: Workspace, params: Params) -> None:
    decision = decide(ws, "segmentation", "PROMOTE", version=1)
    decide(ws, "survival", "HOLD")

    report = promote.run(ws, params)

    version = Registry(embedded_store(ws.state)).get(MODELS["segmentation"], 1)
    assert version is not None
    (line,) = ledger(ws)
    assert line.pop("time").endswith("+00:00")
    assert len(line.pop("chain")) == 64
    assert line.pop("tags") == version.tags
    assert line.pop("files") == file_digests(TRAINED / "registered/segmentation/data/seed_mini")
    assert line == {
        "event": "promotion",
        "model": "brats-segmentation",
        "version": 1,
        "previous": None,
        "run_id": version.run_id,
        "key": version.tags[KEY],
        "decision": digest_value(decision),
        "reasons": decision["reasons"],
    }
    assert aliases(ws) == {CHAMPION: 1}
    assert report.details["promoted"]
    assert "brats-segmentation v1 is champion" in str(report)


def test_both_models_are_promoted_in_one_call(ws: Workspace, params: Params) -> None:
    decide(ws, "segmentation", "PROMOTE", version=2)
    decide(ws, "survival", "PROMOTE", version=1)

    promote.run(ws, params)

    assert (aliases(ws), aliases(ws, "survival")) == ({CHAMPION: 2}, {CHAMPION: 1})
    assert [line["model"] for line in ledger(ws)] == ["brats-segmentation", "brats-survival"]


def test_a_second_promotion_makes_the_champion_the_previous_one(ws: Workspace, params: Params) -> None:
    decide(ws, "survival", "HOLD")
    decide(ws, "segmentation", "PROMOTE", version=1)
    promote.run(ws, params)
    decide(ws, "segmentation", "PROMOTE", version=2, champion=1)

    promote.run(ws, params)

    assert aliases(ws) == {CHAMPION: 2, PREVIOUS: 1}
    assert [(line["version"], line["previous"]) for line in ledger(ws)] == [(1, None), (2, 1)]


def test_a_repeated_call_changes_nothing(ws: Workspace, params: Params) -> None:
    decide(ws, "segmentation", "PROMOTE", version=1)
    decide(ws, "survival", "PROMOTE", version=1)
    promote.run(ws, params)
    before = ws.state.ledger.path.read_bytes(), aliases(ws), aliases(ws, "survival")

    report = promote.run(ws, params)

    assert (ws.state.ledger.path.read_bytes(), aliases(ws), aliases(ws, "survival")) == before
    assert "already" in str(report)


@pytest.mark.parametrize("verdict", ["HOLD", "REJECT"])
def test_a_model_that_is_not_let_through_leaves_registry_and_ledger_as_they_are(
    verdict: str, ws: Workspace, crown: Callable[[str, int], None], params: Params
) -> None:
    crown("segmentation", 1)
    before = ws.state.ledger.path.read_bytes()
    decide(ws, "segmentation", verdict, version=2, champion=1)
    decide(ws, "survival", verdict, version=1)

    report = promote.run(ws, params)

    assert (aliases(ws), aliases(ws, "survival")) == ({CHAMPION: 1}, {})
    assert ws.state.ledger.path.read_bytes() == before
    assert not report.details["promoted"]
    assert str(report).count(verdict) == 2


def test_a_version_that_is_not_registered_is_refused_and_the_other_model_is_not_promoted(
    ws: Workspace, params: Params
) -> None:
    decide(ws, "segmentation", "PROMOTE", version=1)
    decide(ws, "survival", "PROMOTE", version=9)

    with pytest.raises(ModelError, match=r"brats-survival v9 is not in the registry.*brats publish"):
        promote.run(ws, params)

    assert (aliases(ws), ledger(ws)) == ({}, [])


def test_a_champion_that_changed_since_the_gate_is_refused_and_the_other_model_is_not_promoted(
    ws: Workspace, crown: Callable[[str, int], None], params: Params
) -> None:
    decide(ws, "segmentation", "PROMOTE", version=1)
    decide(ws, "survival", "PROMOTE", version=2)
    crown("survival", 1)
    before = ws.state.ledger.path.read_bytes()

    with pytest.raises(ModelError, match=r"brats-survival v2 .* brats-survival v1 is champion.*brats gate"):
        promote.run(ws, params)

    assert (aliases(ws), aliases(ws, "survival")) == ({}, {CHAMPION: 1})
    assert ws.state.ledger.path.read_bytes() == before


@pytest.mark.parametrize("missing", ["segmentation", "survival"])
def test_a_missing_decision_names_the_command_that_makes_it(missing: str, ws: Workspace, params: Params) -> None:
    for kind in MODELS:
        if kind != missing:
            decide(ws, kind, "PROMOTE", version=1)

    with pytest.raises(MissingInputError, match="brats gate"):
        promote.run(ws, params)

    assert aliases(ws) == {}


def test_a_decision_that_was_edited_after_the_gate_is_refused(ws: Workspace, params: Params) -> None:
    decide(ws, "survival", "HOLD")
    write_sealed(ws.decision("segmentation"), decide(ws, "segmentation", "REJECT", version=1))
    path = ws.decision("segmentation").path
    path.write_text(path.read_text().replace("REJECT", "PROMOTE"))

    with pytest.raises(TableError, match=r"segmentation\.json: was changed after it was written; run `brats gate`"):
        promote.run(ws, params)

    assert (aliases(ws), ledger(ws)) == ({}, [])


@pytest.mark.parametrize("field", ["run_id", "key"])
def test_a_version_is_not_promoted_for_another_one_of_the_same_number(
    field: str, ws: Workspace, params: Params
) -> None:
    version = Registry(embedded_store(ws.state)).get(MODELS["segmentation"], 1)
    assert version is not None
    decision = decide(ws, "segmentation", "PROMOTE", version=1) | {"judged": {**version.identity, field: "another"}}
    write_sealed(ws.decision("segmentation"), decision)
    decide(ws, "survival", "PROMOTE", version=1)

    with pytest.raises(ModelError, match="v1 of the registry is not the model that the gate judged"):
        promote.run(ws, params)

    assert (aliases(ws), aliases(ws, "survival"), ledger(ws)) == ({}, {}, [])


def test_a_model_that_was_replaced_after_the_gate_is_not_promoted(ws: Workspace, params: Params) -> None:
    version = Registry(embedded_store(ws.state)).get(MODELS["segmentation"], 1)
    assert version is not None
    digests = file_digests(TRAINED / "registered/segmentation/data/seed_mini") | {"model.keras": "0" * 64}
    judged = {"judged": {**version.identity, "files": digests}}
    write_sealed(ws.decision("segmentation"), decide(ws, "segmentation", "PROMOTE", version=1) | judged)
    decide(ws, "survival", "HOLD")

    with pytest.raises(ModelError, match=r"model\.keras in .* of brats-segmentation v1 is not what was registered"):
        promote.run(ws, params)

    assert (aliases(ws), ledger(ws)) == ({}, [])


def test_a_champion_is_named_by_hand_and_taken_back(
    ws: Workspace, crown: Callable[[str, int], None], params: Params
) -> None:
    crown("segmentation", 1)
    crown("segmentation", 2)

    said = adopt.run(ws, params, model=MODELS["segmentation"], version="1")

    assert str(said) == "adopt: brats-segmentation v1 is champion"
    assert aliases(ws) == {CHAMPION: 1, PREVIOUS: 2}
    assert (ledger(ws)[-1]["version"], ledger(ws)[-1]["decision"]) == (1, "adopted")
    assert "no champion now" in str(adopt.run(ws, params, model=MODELS["segmentation"], version="none"))
    assert ledger(ws)[-1]["version"] is None
    with pytest.raises(ModelError, match="brats-segmentation v9 is not in MLflow"):
        adopt.run(ws, params, model=MODELS["segmentation"], version="9")
    with pytest.raises(ConfigError, match=r"did you mean brats-segmentation\?"):
        adopt.run(ws, params, model="segmentation", version="1")
    with pytest.raises(ConfigError, match="v1 is not the number"):
        adopt.run(ws, params, model=MODELS["segmentation"], version="v1")
