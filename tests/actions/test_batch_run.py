"""A folder of predictions in MLflow: one run with its figures, and links between run, page and model."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from brats_ml.actions import prediction_table
from brats_ml.adapters.tracking.notes import NOTE
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.config import Params
from brats_ml.workspace import Workspace
from tests.predictions import predict_by_reference, provenance

AIRFLOW = "http://127.0.0.1:8080"


@pytest.fixture
def scored(ws: Workspace, cohort: Path) -> Workspace:
    """A workspace with a registered model, and predictions that version 1 might have made."""
    more = {
        "provenance": provenance() | {"segmentation": {"name": MODELS["segmentation"], "version": 1, "run_id": "0"}},
        "qc": {"score": 0.75, "reasons": [], "review": False},
    }
    predict_by_reference(ws.predictions(), cohort, {path.name: more for path in cohort.iterdir() if path.is_dir()})
    return ws


def batches(ws: Workspace) -> list[Any]:
    found = MlflowClient(embedded_store(ws.state)).search_runs(["1"], "tags.`brats.stage` = 'score'")
    return list(found)


def test_mlflow_links_to_the_page_of_the_batch_and_the_page_to_mlflow(
    scored: Workspace, quick_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", AIRFLOW)
    scored.state.servers.write_text(json.dumps({"airflow_port": 1, "mlflow_port": 5000}))
    report = prediction_table.run(scored, quick_params)

    (run,) = batches(scored)
    page = report.links["Page"]
    assert page.startswith(f"{AIRFLOW}/brats/batches/")
    assert f"({page})" in run.data.tags[NOTE]
    batch = page.rstrip("/").rpartition("/")[2]
    assert json.loads(scored.state.batch(batch).path.read_text()) == {
        "folder": str(scored.predictions().path.resolve())
    }
    assert run.data.metrics["cases.scored"] == 6
    assert run.data.metrics["quality.mean_expected_dice"] == pytest.approx(0.75)
    address = f"http://127.0.0.1:5000/#/experiments/1/runs/{run.info.run_id}"
    assert report.links["MLflow"].startswith(address)
    assert f'href="{address}' in scored.predictions().page.path.read_text()
    version = MlflowClient(embedded_store(scored.state)).get_model_version(MODELS["segmentation"], "1")
    assert f"runs/{run.info.run_id}" in version.description


def test_a_folder_has_one_run_and_a_copy_of_it_another(scored: Workspace, quick_params: Params) -> None:
    prediction_table.run(scored, quick_params)
    prediction_table.run(scored, quick_params)
    assert len(batches(scored)) == 1

    copy = scored.root / "copy"
    shutil.copytree(scored.predictions().path, copy)
    prediction_table.run(scored, quick_params, output=copy)
    assert len(batches(scored)) == 2


def test_no_name_of_a_case_reaches_mlflow(scored: Workspace, quick_params: Params) -> None:
    prediction_table.run(scored, quick_params)
    (run,) = batches(scored)
    cases = [folder.path.name for folder in scored.predictions().cases()]
    assert not [case for case in cases if case in json.dumps(run.to_dictionary())]


def test_predictions_are_listed_while_mlflow_is_down(
    scored: Workspace, quick_params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    report = prediction_table.run(scored, quick_params)
    assert "the batch is not in MLflow" in report.summary
    assert scored.predictions().page.path.exists()
    assert report.links["Page"].startswith("file://")
