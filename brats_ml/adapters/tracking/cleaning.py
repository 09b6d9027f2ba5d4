"""Clean an MLflow store: end runs without a process, and remove for good what people have deleted.

A training holds the lock of its checkpoints from before its run starts until after it ends. So a run that shows as
running while this lock is free has no process, unless a machine with a state of its own trains the same. Such a machine
reports how busy it is every few seconds.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from brats_ml import environment, locks, mlflow_pages
from brats_ml.adapters.tracking.ledger import promotions
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.runs import KEY, MlflowTracker
from brats_ml.errors import ServiceError
from brats_ml.redaction import redacted
from brats_ml.workspace.state import State

# Clocks of machines differ by minutes, and a training may lose MLflow for a while.
SILENCE_S = 3600.0
PAGE = 500
HELD = "the run has a process"


def end_abandoned_runs(tracker: MlflowTracker, state: State, *, dry: bool = False) -> list[str]:
    """Mark trainings that show as running, and have no process, as killed; their next try continues them.

    Args:
        tracker: The store.
        state: The state that has the locks of the trainings.
        dry: Change nothing; the sentences then say what would be done.

    Returns:
        One sentence for each such run, and for each that may have a process elsewhere.
    """
    found = _search(tracker, "attributes.status = 'RUNNING'")
    return [sentence for run in found if (sentence := _end(tracker, state, run, dry=dry))]


def _end(tracker: MlflowTracker, state: State, run: Any, *, dry: bool) -> str | None:
    run_id, key = run.info.run_id, run.data.tags.get(KEY)
    named = f"run {run.info.run_name} ({run_id})"
    lock = state.checkpoints(key).lock if key else None
    if lock is None or not lock.exists():
        return f"{named} stays: it is no training of this state; `brats publish` ends the runs that it began"
    try:
        with locks.alone(lock, refusal=HELD):
            if time.time() - _last_sign(tracker, run) < SILENCE_S:
                return f"{named} stays: it has reported something within the last hour"
            if tracker.client.get_run(run_id).info.status != "RUNNING":
                return None
            if not dry:
                tracker.client.set_terminated(run_id, "KILLED")
            return f"{named} has no process: killed"
    except ServiceError as error:
        if str(error) == HELD:
            return None
        raise


def _last_sign(tracker: MlflowTracker, run: Any) -> float:
    """Return when a run last reported something, in seconds since 1970."""
    times = [run.info.start_time]
    busy = sorted(name for name in run.data.metrics if name.startswith("system/"))
    for name in [*busy[:1], *(name for name in run.data.metrics if name not in busy)]:
        times.append(max(point.timestamp for point in tracker.client.get_metric_history(run.info.run_id, name)))
    return float(max(times)) / 1000


def remove_deleted(tracker: MlflowTracker, state: State, *, keep_days: float, dry: bool = False) -> list[str]:
    """Remove runs and models for good that were deleted in MLflow some days ago, by `mlflow gc`.

    Nothing is removed while something is deleted that a registered version or the ledger names.

    Args:
        tracker: The store.
        state: The state, which has the ledger.
        keep_days: How long a deleted run can be restored.
        dry: Remove nothing.

    Returns:
        One sentence about what was removed, or why nothing was.

    Raises:
        ServiceError: `mlflow gc` fails.
    """
    deleted = _search(tracker, "", only_deleted=True)
    if needed := sorted(_needed(tracker, state)):
        return [
            f"deleted runs stay, since {needed[0]} is deleted and still named by a version or the ledger: restore it "
            "in MLflow, or delete the version"
        ]
    database = _database(tracker, state)
    if not deleted:
        return []
    if database is None:
        variable = environment.MLFLOW_BACKEND_STORE_URI.name
        return [f"{len(deleted)} deleted run(s) stay: set {variable} to the server's database, and try again"]
    if not dry:
        _collect(tracker, database, keep_days)
    left = set() if dry else {run.info.run_id for run in _search(tracker, "", only_deleted=True)}
    gone = [run for run in deleted if run.info.run_id not in left]
    if dry:
        return [f"deleted runs that go for good {keep_days:g} days after they were deleted: {len(deleted)}"]
    return [f"deleted runs that are gone for good: {len(gone)}"] if gone else []


def _needed(tracker: MlflowTracker, state: State) -> Iterator[str]:
    """Yield the deleted runs and models that a version or the ledger names."""
    versions = [
        version for name in MODELS.values() for version in tracker.client.search_model_versions(f"name = '{name}'")
    ]
    ledger = (entry.get("run_id") for entry in promotions(state.ledger.path))
    for run_id in {*(version.run_id for version in versions), *ledger} - {None, ""}:
        if _is_deleted(lambda run_id=run_id: tracker.client.get_run(run_id)):
            yield f"run {run_id}"
    for model_id in {getattr(version, "model_id", None) for version in versions} - {None, ""}:
        if _is_deleted(lambda model_id=model_id: tracker.client.get_logged_model(model_id)):
            yield f"model {model_id}"


def _is_deleted(get: Any) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        found = get()
    except MlflowException:  # MLflow shows no deleted model; `Client` has translated all other errors
        return True
    return bool(hasattr(found, "info") and found.info.lifecycle_stage == "deleted")


def _database(tracker: MlflowTracker, state: State) -> str | None:
    """Return the address of the database of the store, or None where only its server knows it."""
    named = environment.MLFLOW_BACKEND_STORE_URI.read()
    if named or not mlflow_pages.has_pages(tracker.uri):
        return named or tracker.uri
    return None


def _collect(tracker: MlflowTracker, database: str, keep_days: float) -> None:
    variables = {"MLFLOW_BACKEND_STORE_URI": database, "MLFLOW_TRACKING_URI": tracker.uri}
    # Addresses have passwords, which other users see in a command line.
    command = [sys.executable, "-m", "mlflow", "gc", "--older-than", f"{keep_days * 86400:.0f}s"]
    done = subprocess.run(command, env=environment.for_child(variables), capture_output=True, text=True, check=False)
    if done.returncode:
        reason = redacted(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "it printed no message")
        raise ServiceError(f"MLflow could not remove what is deleted: {reason}")


def _search(tracker: MlflowTracker, query: str, *, only_deleted: bool = False) -> list[Any]:
    view = 2 if only_deleted else 1  # ViewType.DELETED_ONLY, ViewType.ACTIVE_ONLY; importing them imports MLflow
    found: list[Any] = []
    token: str | None = None
    while True:
        page = tracker.client.search_runs([tracker.experiment_id], query, view, PAGE, page_token=token)
        found += page
        token = page.token
        if not token:
            return found
