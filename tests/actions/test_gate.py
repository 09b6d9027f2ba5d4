from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from brats_ml.actions import gate
from brats_ml.adapters.tables.frames import write_csv
from brats_ml.adapters.tracking.registry import COHORT, MODELS
from brats_ml.adapters.tracking.runs import KEY, embedded_store
from brats_ml.config import Params
from brats_ml.errors import ModelError
from brats_ml.files import read_json, write_json
from brats_ml.workspace import Workspace
from tests.actions.registered_models import make_champion

NAME = MODELS["segmentation"]


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A nominee that was trained and evaluated on three locked cases; no survival estimator was fitted."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ws = Workspace(tmp_path)
    write_json(
        ws.reports.nominees,
        {
            "segmentation": {"recipe": "baseline_mini"},
            "survival": {"estimator": None, "reason": "not fitted: no patient"},
        },
    )
    write_json(ws.model("baseline_mini").verdict, {"verdict": "trained", "key": "new"})
    cases = pd.DataFrame({"case_id": ["a", "b", "c"], "dice_WT": 0.9, "dice_TC": 0.8, "dice_ET": 0.7})
    write_csv(ws.evaluation("test", "baseline_mini").cases, cases)
    write_json(
        ws.evaluation("validation", "baseline_mini").summary,
        {"preset": None, "windows": None, "postprocessing": None},
    )
    return ws


@pytest.fixture
def registry(ws: Workspace) -> MlflowClient:
    """The registry of the workspace, with one model without versions."""
    client = MlflowClient(embedded_store(ws.state))
    client.create_registered_model(NAME)
    return client


def register(ws: Workspace, registry: MlflowClient, *, key: str, cohort: str, champion: bool = False) -> None:
    version = registry.create_model_version(NAME, "file:///nowhere", tags={KEY: key, COHORT: cohort})
    if champion:
        make_champion(ws, "segmentation", int(version.version))


def decision(ws: Workspace, params: Params, kind: str = "segmentation") -> dict[str, Any]:
    gate.run(ws, params)
    found: dict[str, Any] = read_json(ws.decision(kind))
    return found


def test_a_nominee_that_was_not_published_is_refused(ws: Workspace, registry: MlflowClient, params: Params) -> None:
    with pytest.raises(ModelError, match="nominee baseline_mini is not in the registry: run `brats publish` first"):
        gate.run(ws, params)


def test_a_network_in_another_preset_is_another_model(ws: Workspace, registry: MlflowClient, params: Params) -> None:
    register(ws, registry, key="new-fast-64x64x64-96x96x96", cohort="patients", champion=True)
    write_json(
        ws.evaluation("validation", "baseline_mini").summary,
        {"preset": "best", "windows": [[64, 64, 64], [96, 96, 96]], "postprocessing": None},
    )

    with pytest.raises(ModelError, match="is not in the registry"):
        gate.run(ws, params)

    write_json(
        ws.evaluation("validation", "baseline_mini").summary,
        {"preset": "fast", "windows": [[64, 64, 64], [96, 96, 96]], "postprocessing": None},
    )
    assert decision(ws, params)["reasons"] == [f"{NAME} v1 is champion already"]


def test_what_was_not_fitted_is_held_with_its_reason(ws: Workspace, registry: MlflowClient, params: Params) -> None:
    register(ws, registry, key="new", cohort="patients")

    held = decision(ws, params, "survival")

    assert (held["verdict"], held["reasons"], held["version"]) == ("HOLD", ["not fitted: no patient"], None)


def test_the_champion_itself_is_held(ws: Workspace, registry: MlflowClient, params: Params) -> None:
    register(ws, registry, key="new", cohort="patients", champion=True)

    assert decision(ws, params)["reasons"] == [f"{NAME} v1 is champion already"]


def test_a_model_of_synthetic_patients_never_replaces_one_of_real_ones(
    ws: Workspace, registry: MlflowClient, params: Params
) -> None:
    register(ws, registry, key="old", cohort="patients", champion=True)
    register(ws, registry, key="new", cohort="synthetic")

    held = decision(ws, params)

    assert held["verdict"] == "HOLD"
    assert held["reasons"] == [f"{NAME} v2 was trained on synthetic patients only, {NAME} v1 on real ones"]


def test_a_model_of_real_patients_need_not_beat_one_of_synthetic_ones(
    ws: Workspace, registry: MlflowClient, params: Params
) -> None:
    register(ws, registry, key="old", cohort="synthetic", champion=True)
    register(ws, registry, key="new", cohort="patients")

    promoted = decision(ws, params)

    assert (promoted["verdict"], promoted["version"]) == ("PROMOTE", 2)
    assert promoted["measured"]["candidate"] == pytest.approx({"WT": 0.9, "TC": 0.8, "ET": 0.7})


def test_a_floor_that_is_missed_rejects(ws: Workspace, registry: MlflowClient, make_params: Any) -> None:
    register(ws, registry, key="new", cohort="patients")

    rejected = decision(ws, make_params({"gate.segmentation.minimum_dice": {"WT": 0.5, "TC": 0.5, "ET": 0.75}}))

    assert (rejected["verdict"], rejected["reasons"]) == ("REJECT", ["ET 0.700 is below its floor 0.750"])


def test_a_champion_is_not_judged_on_a_patient_it_was_trained_on_by_any_name(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    write_json(
        ws.validation.manifest,
        {"cases": [{"patient": "BraTS20_Training_001"}, {"patient": "BraTS-GLI-00001", "aliases": ["copy"]}]},
    )
    write_json(ws.splits, {"patients": {"d": "test"}, "aliases": {"d": ["before"]}})
    ws.tables.path.mkdir()
    (ws.tables.path / "name_mapping.csv").write_text("BraTS_2018_ID,BraTS_2020_ID\nBrats18_X_1,BraTS20_Training_001\n")
    table = pd.DataFrame({"patient": ["BraTS20_Training_001", "BraTS-GLI-00001", "d", "unseen"]})

    rows = gate.unseen(ws, table, ["Brats17_X_1", "copy", "before", "gone"])

    assert rows["patient"].tolist() == ["unseen"]
