"""The pipeline without a scheduler: `dvc repro`, killed and repeated, then each action twice."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.files import digest_tree
from brats_ml.survival.features import FEATURES
from brats_ml.workspace.state import State
from tests.e2e.checkout import Checkout
from tests.page_requests import outside_addresses, requests_of

EPOCHS = 8
MODEL = "models/segmentation/baseline_mini"


@pytest.fixture(scope="module")
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    return make_checkout(f"recipes.baseline_mini.epochs={EPOCHS}")


@pytest.fixture(scope="module")
def store(checkout: Checkout) -> str:
    return embedded_store(State(checkout.root / ".brats"))


@pytest.fixture(scope="module")
def output(checkout: Checkout) -> dict[str, str]:
    """Run all commands once and return their output."""
    output = {}
    output["epochs before the kill"] = str(kill_in_training(checkout))
    output["repro"] = checkout.dvc("repro")
    output["second repro"] = checkout.dvc("repro")
    for round_ in ("first", "second"):
        for action in ("publish", "gate", "promote"):
            output[f"{round_} {action}"] = checkout.brats(action)
    checkout.brats("inbox")
    spoil_inbox(checkout.root / "inbox")
    output["first score"] = checkout.brats("score")
    output["second score"] = checkout.brats("score")
    return output


def kill_in_training(checkout: Checkout) -> int:
    """Start `dvc repro`, kill it in the middle of an epoch, and return the number of finished epochs."""
    process = checkout.start("dvc", "repro")
    checkpoints = checkout.root / ".brats/checkpoints"
    finished: list[Path] = []
    while not finished or last_epoch(finished) < 2:
        assert process.poll() is None, f"dvc repro ended before its third epoch:\n{process.communicate()[0]}"
        time.sleep(0.01)
        finished = sorted(checkpoints.glob("*/epoch-*"))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return last_epoch(finished)


def last_epoch(checkpoints: list[Path]) -> int:
    return int(checkpoints[-1].name.removeprefix("epoch-"))


def spoil_inbox(inbox: Path) -> None:
    """Truncate a scan of the first case, make another one text, and remove the age of the second case."""
    first, second = sorted(path.name for path in inbox.iterdir() if path.is_dir())[:2]
    scan = inbox / first / f"{first}_t1.nii.gz"
    scan.write_bytes(scan.read_bytes()[:1000])
    (inbox / first / f"{first}_t2.nii.gz").write_text("no volume")
    table = pd.read_csv(inbox / "survival_info.csv")
    table[table["Brats20ID"] != second].to_csv(inbox / "survival_info.csv", index=False)


def stages_run(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def predictions(checkout: Checkout) -> list[dict[str, str]]:
    folder = checkout.root / "predictions"
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/prediction.json"))]


def test_a_training_killed_in_an_epoch_resumes_from_the_last_finished_epoch(
    output: dict[str, str], checkout: Checkout
) -> None:
    history = pd.read_csv(checkout.root / "metrics/history/baseline_mini.csv")

    assert 2 <= int(output["epochs before the kill"]) < EPOCHS
    assert history["epoch"].tolist() == list(range(1, EPOCHS + 1))


def test_a_killed_training_has_one_mlflow_run_with_each_epoch_once(output: dict[str, str], store: str) -> None:
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("brats")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])

    (trained,) = [run for run in runs if run.info.run_name.startswith("train baseline_mini ")]
    steps = [point.step for point in client.get_metric_history(trained.info.run_id, "loss")]

    assert trained.info.status == "FINISHED"
    assert sorted(steps) == list(range(1, EPOCHS + 1))


@pytest.mark.slow
def test_a_killed_training_gives_the_bytes_of_an_undisturbed_one(output: dict[str, str], checkout: Checkout) -> None:
    resumed = digest_tree(checkout.root / MODEL)
    shutil.rmtree(checkout.root / ".brats/checkpoints")
    checkout.brats("train", "--recipe", "baseline_mini")

    assert digest_tree(checkout.root / MODEL) == resumed


def test_a_second_repro_runs_only_the_stages_that_always_run(output: dict[str, str]) -> None:
    assert sorted(stages_run(output["second repro"])) == ["code", "source"]


def test_a_second_publish_adds_no_run_and_no_version(output: dict[str, str], store: str) -> None:
    client = MlflowClient(store)
    names = ("brats-segmentation", "brats-survival")
    versions = {name: len(client.search_model_versions(f"name = '{name}'")) for name in names}

    assert versions == dict.fromkeys(names, 1)
    assert output["second publish"].splitlines()[-1] == output["first publish"].splitlines()[-1]


def test_no_mlflow_run_has_a_metric_of_the_locked_test_patients(output: dict[str, str], store: str) -> None:
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("brats")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])

    assert len(runs) == 8  # seven trained or judged a model, and one has the batch of predictions
    assert [name for run in runs for name in run.data.metrics if name.startswith("test")] == []


def test_a_second_gate_holds_the_current_champions(output: dict[str, str], checkout: Checkout) -> None:
    assert output["first gate"].count("PROMOTE") == 2
    assert output["second gate"].count("is champion already") == 2


def test_a_second_promote_does_not_change_the_ledger(output: dict[str, str], checkout: Checkout) -> None:
    ledger = [json.loads(line) for line in (checkout.root / ".brats/ledger.jsonl").read_text().splitlines()]

    assert [line["event"] for line in ledger] == ["look", "look", "promotion", "promotion"]
    assert output["second promote"].count("stays (HOLD)") == 2


def test_a_case_with_unreadable_scans_is_refused_with_their_names_and_the_others_are_scored(
    output: dict[str, str], checkout: Checkout
) -> None:
    refused, *others = predictions(checkout)

    assert refused["status"] == "refused"
    assert "_t1.nii.gz" in refused["reason"]
    assert "_t2.nii.gz" in refused["reason"]
    assert [other["status"] for other in others] == ["scored"] * 3


def test_a_patient_without_age_gets_a_label_map_and_no_group(output: dict[str, str], checkout: Checkout) -> None:
    without_age = predictions(checkout)[1]
    survival = without_age["survival"]
    assert isinstance(survival, dict)

    assert survival["group"] is None
    assert "age" in survival["reason"]
    assert (checkout.root / "predictions" / without_age["case_id"] / f"{without_age['case_id']}-labels.nii.gz").exists()


def test_a_second_score_keeps_predictions_and_retries_refused_cases(output: dict[str, str]) -> None:
    assert "3 scored, 0 kept, 1 refused" in output["first score"]
    assert "0 scored, 3 kept, 1 refused" in output["second score"]


def pages(checkout: Checkout) -> list[Path]:
    return [
        page
        for part in ("data", "reports", "evaluation", "decisions", "predictions")
        for page in sorted((checkout.root / part).rglob("*.html"))
    ]


@pytest.mark.usefixtures("output")
def test_no_page_has_an_address_of_another_machine(checkout: Checkout) -> None:
    found = {
        page.relative_to(checkout.root).as_posix(): outside_addresses(page.read_text()) for page in pages(checkout)
    }
    assert {"data/validation/index.html", "data/validation/docs/index.html"} < found.keys()
    assert not any(found.values()), found


@pytest.mark.slow
@pytest.mark.usefixtures("output")
def test_a_browser_that_shows_the_pages_asks_for_nothing_outside(checkout: Checkout, tmp_path: Path) -> None:
    asked = {page: requests_of(page, tmp_path) for page in pages(checkout)}
    assert not any(asked.values()), asked


def test_mlflow_loads_both_champions(
    output: dict[str, str], checkout: Checkout, store: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    segmentation = mlflow.pyfunc.load_model("models:/brats-segmentation@champion")
    survival = mlflow.pyfunc.load_model("models:/brats-survival@champion")

    scored = next(record["case_id"] for record in predictions(checkout) if record["status"] == "scored")
    case = {"case_folder": str(checkout.root / "inbox" / scored), "output_folder": str(tmp_path)}
    found = segmentation.predict(pd.DataFrame([case])).iloc[0]
    patients = pd.DataFrame([dict.fromkeys(FEATURES, 0.02) | {"age_years": 61.0}])

    labels = checkout.root / "predictions" / scored / f"{scored}-labels.nii.gz"
    assert Path(found["label_map"]).read_bytes() == labels.read_bytes()
    assert survival.predict(patients)["group"].isin(["short", "mid", "long"]).all()


@pytest.mark.slow
def test_a_changed_survival_parameter_reruns_only_the_survival_stages(
    output: dict[str, str], checkout: Checkout
) -> None:
    checkout.brats("set", "survival.repeats=2")
    rerun = stages_run(checkout.dvc("repro"))

    searches = {f"survival@{name}" for name in ("random_forest", "svm", "knn", "cox", "age")}
    assert set(rerun) == {"code", "source", "compare"} | searches


@pytest.mark.slow
def test_a_new_case_in_the_source_folder_is_noticed(output: dict[str, str], checkout: Checkout, tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    shutil.copytree(checkout.root / "data/raw", cohort)
    new_case = sorted(path for path in cohort.iterdir() if path.is_dir())[-1]
    new_case.rename(tmp_path / new_case.name)
    checkout.brats("set", f"acquire.source={cohort}")
    checkout.dvc("repro", "validate")
    before = json.loads((checkout.root / "data/validation/manifest.json").read_text())
    (tmp_path / new_case.name).rename(new_case)
    second = checkout.dvc("repro", "validate")
    after = json.loads((checkout.root / "data/validation/manifest.json").read_text())

    assert sorted(stages_run(second)[:2]) == ["code", "source"]
    assert stages_run(second)[2] == "acquire"
    assert set(json.dumps(after).split('"')) - set(json.dumps(before).split('"')) >= {new_case.name}


@pytest.mark.slow
def test_the_gate_compares_a_new_model_with_the_champion_on_the_locked_patients(
    output: dict[str, str], checkout: Checkout
) -> None:
    checkout.brats("set", "acquire.source=phantom", f"recipes.baseline_mini.epochs={EPOCHS + 1}", "survival.seed=1")
    checkout.dvc("repro")
    checkout.brats("publish")
    checkout.brats("gate")

    for kind, scores in (("segmentation", {"WT", "TC", "ET"}), ("survival", {"log_likelihood"})):
        decision = json.loads((checkout.root / f"decisions/{kind}.json").read_text())
        assert decision["version"] == 2
        assert set(decision["measured"]["champion"]) == scores
        assert set(decision["measured"]["difference"]) == scores | {"mean"}
