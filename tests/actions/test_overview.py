"""What `brats status` and `brats models` find, and how they print it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from brats_ml.actions import champions, waiting
from brats_ml.adapters.tracking.ledger import PROMOTION, append_entry
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.cli import tables
from brats_ml.config import Params
from brats_ml.files import digest_value, write_json
from brats_ml.workspace import Workspace

Crown = Callable[[str, int], None]
DECISION = {"verdict": "PROMOTE", "reasons": ["WT gains 0.03", "no region loses"]}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")


def segmentation(ws: Workspace) -> dict[str, Any]:
    found: dict[str, Any] = champions.history(ws)[0]
    return found


def test_without_a_promotion_there_is_no_champion(ws: Workspace) -> None:
    found = segmentation(ws)

    assert found["model"] == "brats-segmentation"
    assert (found["champion"], found["earlier"], found["differs"], found["aliases"]) == (None, [], [], {})
    assert [one["version"] for one in champions.champions(ws)] == [None, None]


def test_the_champion_and_those_before_are_the_ledgers(ws: Workspace, crown: Crown) -> None:
    crown("segmentation", 1)
    crown("segmentation", 2)

    found = segmentation(ws)
    (before,) = found["earlier"]

    assert found["champion"]["version"] == 2
    assert found["champion"]["until"] is None
    assert before["version"] == 1
    assert before["until"] == found["champion"]["since"]
    assert TIME.fullmatch(found["champion"]["since"])
    assert found["aliases"] == {"champion": 2, "previous_champion": 1}
    assert found["differs"] == []
    assert [one["version"] for one in champions.champions(ws)] == [2, None]


def test_an_alias_that_differs_from_the_ledger_is_named(ws: Workspace, crown: Crown) -> None:
    crown("segmentation", 1)
    MlflowClient(embedded_store(ws.state)).set_registered_model_alias(MODELS["segmentation"], "champion", "2")

    found = segmentation(ws)

    assert found["champion"]["version"] == 1
    assert found["differs"] == ["the alias champion names v2, and the ledger names v1; only the ledger counts"]


def test_an_alias_without_a_promotion_is_named(ws: Workspace) -> None:
    MlflowClient(embedded_store(ws.state)).set_registered_model_alias(MODELS["segmentation"], "champion", "2")

    assert segmentation(ws)["differs"] == [
        "the alias champion names v2, and the ledger names no version; only the ledger counts"
    ]


@pytest.mark.parametrize("place", ["checkout", "record of a run"])
def test_the_reasons_are_those_of_the_decision_that_the_ledger_names(place: str, ws: Workspace) -> None:
    record = ws.state.record("brats_train", "manual")
    write_json(record.pin, {"run_id": "manual", "pin": {"revision": "x", "asked": "x", "skipped": []}})
    path = ws.decision("segmentation").path if place == "checkout" else record.decisions / "segmentation.json"
    write_json(path, DECISION)
    entry = {"event": PROMOTION, "model": MODELS["segmentation"], "version": 1, "previous": None, "run_id": "r"}
    append_entry(
        ws.state.ledger.path, entry | {"decision": digest_value(DECISION), "time": "2026-01-02T03:04:05+00:00"}
    )

    assert segmentation(ws)["champion"]["reasons"] == DECISION["reasons"]

    write_json(path, DECISION | {"reasons": ["another decision"]})

    assert segmentation(ws)["champion"]["reasons"] is None


def test_a_case_waits_until_the_present_champion_has_predicted_it(
    ws: Workspace, crown: Crown, quick_params: Params
) -> None:
    (first, _) = sorted(path.name for path in ws.inbox.path.iterdir() if path.is_dir())
    assert waiting.inbox(ws) == {"folder": str(ws.inbox.path), "cases": 2, "waiting": 2}

    crown("segmentation", 1)
    record = {"provenance": {"segmentation": {"name": MODELS["segmentation"], "version": 1}}}
    write_json(ws.predictions().case(first).prediction, record)
    assert waiting.inbox(ws)["waiting"] == 1

    crown("segmentation", 2)
    assert waiting.inbox(ws)["waiting"] == 2


def test_without_an_inbox_no_case_waits(tmp_path: Path) -> None:
    assert waiting.inbox(Workspace(tmp_path))["cases"] == 0


def test_the_tables_of_models_fit_80_columns(ws: Workspace, crown: Crown, capsys: pytest.CaptureFixture[str]) -> None:
    crown("segmentation", 1)
    crown("segmentation", 2)

    tables.print_models(champions.history(ws))

    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert re.search(r"v2 +\d{4}-\d\d-\d\d \d\d:\d\d +\w{32}", printed)
    assert "brats-survival: no champion yet" in printed
    assert "why v2: the decision of the gate is no longer in this checkout or its runs" in printed


def test_what_is_found_is_json(ws: Workspace, crown: Crown) -> None:
    crown("survival", 1)

    assert json.loads(json.dumps(champions.history(ws))) == champions.history(ws)
