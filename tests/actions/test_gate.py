import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from brats_ml.actions import gate, promote
from brats_ml.adapters.tables.frames import write_csv
from brats_ml.adapters.tracking.ledger import looks, promotions
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.runs import KEY
from brats_ml.adapters.tracking.version import COHORT
from brats_ml.cohort.labels import LABEL_SETS
from brats_ml.config import Params
from brats_ml.errors import ModelError
from brats_ml.files import read_json, write_json
from brats_ml.workspace import Workspace
from tests.actions.registered_models import make_champion

NAME = MODELS["segmentation"]


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A nominee that was trained and evaluated on twelve locked patients; no survival estimator was fitted."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    ws = Workspace(tmp_path)
    write_json(
        ws.reports.nominees,
        {
            "segmentation": {"recipe": "baseline_mini"},
            "survival": {"estimator": None, "reason": "not fitted: no patient"},
        },
    )
    write_json(
        ws.model("baseline_mini").verdict, {"verdict": "trained", "key": "new", "cases": {"train": ["Q1", "Q2"]}}
    )
    names = [f"P{number:02d}" for number in range(12)]
    cases = pd.DataFrame({"case_id": names, "patient": names, "dice_WT": 0.9, "dice_TC": 0.8, "dice_ET": 0.7})
    write_csv(ws.evaluation("test", "baseline_mini").cases, cases)
    write_json(ws.validation.manifest, {"cases": []})
    ws.tables.path.mkdir(parents=True)
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
    run = registry.create_run("0").info.run_id
    stored = ws.root / f"stored/{key}"
    shutil.copytree(ws.model("baseline_mini"), stored / "data/baseline_mini")
    version = registry.create_model_version(NAME, stored.as_uri(), run, tags={KEY: key, COHORT: cohort})
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

    floors = {"WT": 0.5, "TC": 0.5, "ET": 0.75}

    rejected = decision(ws, make_params({"gate.patients.segmentation.minimum_dice": floors}))

    assert (rejected["verdict"], rejected["reasons"]) == ("REJECT", ["ET 0.700 is below its floor 0.750"])


def score_nothing(ws: Workspace, cases: int = 12) -> None:
    """Let the nominee find no tumour at all on so many locked patients."""
    names = [f"P{number:02d}" for number in range(cases)]
    table = pd.DataFrame({"case_id": names, "patient": names, "dice_WT": 0.0, "dice_TC": 0.0, "dice_ET": 0.0})
    write_csv(ws.evaluation("test", "baseline_mini").cases, table)


@pytest.mark.parametrize("cohort", ["patients", "synthetic"])
def test_a_network_that_finds_nothing_is_not_crowned_as_shipped(
    cohort: str, ws: Workspace, registry: MlflowClient, params: Params
) -> None:
    register(ws, registry, key="new", cohort=cohort)
    score_nothing(ws)

    assert decision(ws, params)["verdict"] == "REJECT"


def test_floors_of_zero_still_ask_a_person_about_the_first_champion_of_real_patients(
    ws: Workspace, registry: MlflowClient, make_params: Any
) -> None:
    lax = make_params(
        {"gate.patients.segmentation": {"minimum_cases": 1, "minimum_dice": {"WT": 0.0, "TC": 0.0, "ET": 0.0}}}
    )
    register(ws, registry, key="new", cohort="patients")
    score_nothing(ws, cases=1)

    report = gate.run(ws, lax)

    assert report.details["approval"]
    assert "a person has to approve it" in report.details["markdown"]
    with pytest.raises(ModelError, match=r"v1 was compared with no champion.*`brats promote --approve`"):
        promote.run(ws, lax)
    assert not promotions(ws.state.ledger.path)
    promote.run(ws, lax, approve=True)
    assert [entry["version"] for entry in promotions(ws.state.ledger.path)] == [1]


def test_the_first_champion_of_phantoms_asks_nobody(ws: Workspace, registry: MlflowClient, params: Params) -> None:
    register(ws, registry, key="new", cohort="synthetic")

    report = gate.run(ws, params)

    assert (report.details["promote"], report.details["approval"]) == (True, False)


def test_a_champion_of_phantoms_does_not_spare_the_approval_of_real_patients(
    ws: Workspace, registry: MlflowClient, params: Params
) -> None:
    register(ws, registry, key="old", cohort="synthetic", champion=True)
    register(ws, registry, key="new", cohort="patients")

    assert decision(ws, params)["approval"]


def test_few_real_patients_hold_as_shipped(ws: Workspace, registry: MlflowClient, params: Params) -> None:
    register(ws, registry, key="new", cohort="patients")
    cases = pd.read_csv(ws.evaluation("test", "baseline_mini").cases.path)
    write_csv(ws.evaluation("test", "baseline_mini").cases, cases.iloc[:9])

    assert decision(ws, params)["reasons"] == ["9 locked case(s), fewer than the 10 the gate asks for"]


def test_the_verdict_says_how_worn_the_locked_patients_are(
    ws: Workspace, registry: MlflowClient, params: Params
) -> None:
    register(ws, registry, key="other", cohort="patients")
    register(ws, registry, key="new", cohort="patients")
    write_json(ws.model("baseline_mini").verdict, {"verdict": "trained", "key": "other"})
    first = gate.run(ws, params)
    write_json(ws.model("baseline_mini").verdict, {"verdict": "trained", "key": "new"})

    report = gate.run(ws, params)

    assert "No other model was judged on these patients." in first.details["markdown"]
    assert "Up to 1 other model(s) were judged on these patients." in report.details["markdown"]
    assert "its own figure is optimistic" in report.details["markdown"]
    assert [entry["version"] for entry in looks(ws.state.ledger.path)] == [1, 2]


def test_examinations_of_one_patient_count_as_one_patient(
    ws: Workspace, registry: MlflowClient, params: Params
) -> None:
    register(ws, registry, key="new", cohort="patients")
    cases = pd.read_csv(ws.evaluation("test", "baseline_mini").cases.path)
    write_csv(ws.evaluation("test", "baseline_mini").cases, cases.assign(patient=[*"aabbccddeeff"]))

    held = decision(ws, params)

    assert held["reasons"] == ["6 locked case(s), fewer than the 10 the gate asks for"]


def test_a_patient_with_two_names_counts_as_one_patient(ws: Workspace, registry: MlflowClient, params: Params) -> None:
    register(ws, registry, key="new", cohort="patients")
    pairs = [{"patient": f"P{2 * pair:02d}", "aliases": [f"P{2 * pair + 1:02d}"]} for pair in range(6)]
    write_json(ws.validation.manifest, {"cases": pairs})

    held = decision(ws, params)

    assert held["reasons"] == ["6 locked case(s), fewer than the 10 the gate asks for"]


def test_the_verdict_names_only_what_would_be_promoted_with_unit_cohort_and_cases(
    ws: Workspace, registry: MlflowClient, params: Params
) -> None:
    register(ws, registry, key="new", cohort="patients")
    write_json(ws.listing, {"source": "https://user:secret@host/BraTS"})

    details = gate.run(ws, params).details

    assert details["models"] == [f"{NAME} v1"]
    assert "survival" not in details["markdown"]
    assert f"### {NAME} v1: PROMOTE\n- recipe baseline_mini; is the first champion" in details["markdown"]
    assert "trained on real patients; cases: train 2; source `https://host/BraTS`" in details["markdown"]
    assert "Mean Dice of each region, from 0 to 1; more is better. On 12 locked patient(s)" in details["markdown"]


def test_without_a_model_to_promote_there_is_nothing_to_approve(
    ws: Workspace, registry: MlflowClient, params: Params
) -> None:
    register(ws, registry, key="new", cohort="patients")
    score_nothing(ws)

    details = gate.run(ws, params).details

    assert (details["models"], details["markdown"]) == ([], "")


def test_models_of_different_label_sets_are_not_compared(ws: Workspace, registry: MlflowClient, params: Params) -> None:
    register(ws, registry, key="old", cohort="patients", champion=True)
    write_json(ws.model("baseline_mini").labels, LABEL_SETS["glioma-post-treatment"].to_dict())
    register(ws, registry, key="new", cohort="patients")

    found = decision(ws, params)

    assert found["verdict"] == "HOLD"
    assert found["reasons"] == [
        f"{NAME} v2 outlines glioma-post-treatment and {NAME} v1 glioma, which cannot be compared: run `brats adopt "
        f"{NAME} none` if it shall replace the champion, or keep its models in another store"
    ]
    assert looks(ws.state.ledger.path) == []


def test_a_case_with_an_unknown_region_does_not_judge(ws: Workspace, registry: MlflowClient, params: Params) -> None:
    write_json(ws.model("baseline_mini").labels, LABEL_SETS["glioma-post-treatment"].to_dict())
    register(ws, registry, key="new", cohort="patients")
    path = ws.evaluation("test", "baseline_mini").cases
    cases = pd.read_csv(path.path)
    write_csv(path, cases.assign(dice_RC=[None, *[0.5] * (len(cases) - 1)]))

    found = decision(ws, params)

    assert (found["verdict"], found["measured"]["cases"], found["measured"]["unknown"]) == ("PROMOTE", 11, 1)
    assert found["measured"]["candidate"]["RC"] == pytest.approx(0.5)
    assert found["reasons"][-1] == "1 locked case(s) with a region that nobody looked for did not judge"
