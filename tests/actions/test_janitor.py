"""The janitor: trainings without a process, and what was deleted in MLflow."""

import time
from pathlib import Path
from typing import Any

import pytest

from brats_ml import locks
from brats_ml.actions import janitor
from brats_ml.adapters.tracking.cleaning import SILENCE_S
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.runs import KEY, MlflowTracker
from brats_ml.config import Params
from brats_ml.report import Report
from brats_ml.workspace import Workspace

HOUR_MS = 3_600_000


@pytest.fixture
def tracker(ws: Workspace) -> MlflowTracker:
    return MlflowTracker(embedded_store(ws.state))


def begin(tracker: MlflowTracker, ws: Workspace, key: str, *, hours_ago: float = 9, training: bool = True) -> str:
    """Create a run that shows as running, as a killed process leaves it."""
    began = int(time.time() * 1000 - hours_ago * HOUR_MS)
    made = tracker.client.create_run(tracker.experiment_id, start_time=began, run_name=key, tags={KEY: key})
    if training:
        lock = ws.state.checkpoints(key).lock
        lock.parent.mkdir(parents=True)
        lock.touch()
    return str(made.info.run_id)


def status(tracker: MlflowTracker, run_id: str) -> str:
    return str(tracker.client.get_run(run_id).info.status)


def clean(ws: Workspace, params: Params, **options: Any) -> Report:
    return janitor.run(ws, params, **options)


def test_a_training_without_a_process_is_killed_and_its_next_try_continues_it(
    ws: Workspace, tracker: MlflowTracker, quick_params: Params
) -> None:
    run_id = begin(tracker, ws, "gone")

    assert "has no process" in clean(ws, quick_params, dry=True).details["ended"][0]
    assert status(tracker, run_id) == "RUNNING"
    clean(ws, quick_params)
    assert status(tracker, run_id) == "KILLED"
    assert clean(ws, quick_params).details["ended"] == []
    with tracker.run("gone", name="gone", tags={}) as again:
        assert again.run_id == run_id
    assert status(tracker, run_id) == "FINISHED"


def test_a_training_with_a_process_goes_on(ws: Workspace, tracker: MlflowTracker, quick_params: Params) -> None:
    run_id = begin(tracker, ws, "alive")

    with locks.exclusive(ws.state.checkpoints("alive").lock, holder="the test"):
        assert clean(ws, quick_params).details["ended"] == []

    assert status(tracker, run_id) == "RUNNING"


def test_what_may_have_a_process_elsewhere_goes_on(ws: Workspace, tracker: MlflowTracker, quick_params: Params) -> None:
    elsewhere = begin(tracker, ws, "elsewhere", training=False)
    young = begin(tracker, ws, "young", hours_ago=0)
    busy = begin(tracker, ws, "busy")
    silent = begin(tracker, ws, "silent")
    now = int(time.time() * 1000)
    tracker.client.log_metric(busy, "system/cpu_utilization_percentage", 90.0, now - 600_000)
    tracker.client.log_metric(silent, "system/cpu_utilization_percentage", 90.0, now - int(SILENCE_S * 1000) - 60_000)

    clean(ws, quick_params)

    assert {status(tracker, run_id) for run_id in (elsewhere, young, busy)} == {"RUNNING"}
    assert status(tracker, silent) == "KILLED"


@pytest.mark.slow
def test_deleted_runs_are_removed_after_some_days_and_no_others(
    ws: Workspace, tracker: MlflowTracker, make_params: Any
) -> None:
    kept = begin(tracker, ws, "kept", training=False)
    deleted = begin(tracker, ws, "deleted", training=False)
    tracker.client.log_dict(deleted, {}, "a.json")
    tracker.client.delete_run(deleted)
    now, later = make_params({"orchestration.keep_days": 1e-5, "orchestration.approval_hours": 0.0001}), make_params({})
    artifact = Path(tracker.client.get_run(deleted).info.artifact_uri.removeprefix("file://")) / "a.json"

    assert clean(ws, later).details["removed"] == []
    assert clean(ws, now, dry=True).details["removed"] != []
    assert artifact.is_file()
    assert clean(ws, now).details["removed"] == ["deleted runs that are gone for good: 1"]
    assert not artifact.exists()
    assert status(tracker, kept) == "RUNNING"


def test_nothing_is_removed_while_the_run_of_a_version_is_deleted(
    ws: Workspace, tracker: MlflowTracker, make_params: Any, crown: Any
) -> None:
    crown("segmentation", 1)
    run_id = tracker.client.get_model_version(MODELS["segmentation"], "1").run_id
    tracker.client.delete_run(run_id)
    now = make_params({"orchestration.keep_days": 1e-5, "orchestration.approval_hours": 0.0001})

    (sentence,) = clean(ws, now).details["removed"]

    assert f"run {run_id} is deleted and still named by a version or the ledger" in sentence
    assert tracker.client.get_run(run_id).info.lifecycle_stage == "deleted"
    tracker.client.delete_registered_model(MODELS["segmentation"])
    assert "still named" in clean(ws, now).details["removed"][0]  # by the ledger
