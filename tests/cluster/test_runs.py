"""The DAGs on a cluster, undisturbed and with each server killed in mid-run: each piece of work is done once."""

import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from brats_ml.environment import for_child
from tests.cluster import control, s3
from tests.cluster.airflow import SCORE, TRAIN, Airflow, task_processes
from tests.cluster.conftest import EPOCHS
from tests.cluster.services import members, services
from tests.cluster.settings import Cluster

pytestmark = pytest.mark.timeout(3600)
TRAINING = "train.baseline_mini"
MODELS = ("brats-segmentation", "brats-survival")
WORK = Counter(
    ["train baseline_mini", "pipeline", *(f"survival {name}" for name in ("random_forest", "svm", "knn", "cox", "age"))]
)
# Longer than a server needs to restart, and than the first retries of most clients.
DOWN_S = 30.0
# A training that does not end within the patience of a worker that stops.
LONG = 60


@dataclass
class Observed:
    """What a run left.

    Attributes:
        run_id: The run of brats_train.
        states: The end of the run and of the run of brats_score that it starts.
        tasks: The state of each task of brats_train.
        tries: How often each of its tasks was tried.
        made: MLflow runs of this run by name, and the new versions of each model.
        left: Processes of tasks after the end.
        logs: The log of each try of the training.
    """

    run_id: str
    states: tuple[str, str]
    tasks: dict[str, str]
    tries: dict[str, int]
    made: dict[str, Any]
    left: list[Any]
    logs: list[str] = field(default_factory=list)


def mlflow_client(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "writer")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", cluster.secrets["writer"])
    return MlflowClient(cluster.url("mlflow"), cluster.url("mlflow"))


def kept(client: MlflowClient) -> tuple[dict[str, Any], dict[str, set[str]]]:
    """Return every run by its id, and the versions of each model."""
    experiment = client.get_experiment_by_name("brats")
    assert experiment is not None
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id], max_results=1000)}
    return runs, {
        name: {version.version for version in client.search_model_versions(f"name = '{name}'")} for name in MODELS
    }


@contextmanager
def observing(
    cluster: Cluster, airflow: Airflow, monkeypatch: pytest.MonkeyPatch, *, seed: int, epochs: int = EPOCHS
) -> Iterator[tuple[str, list[Observed]]]:
    """Start brats_train with a new seed, yield its id, wait for the end of it and of brats_score, and observe."""
    client = mlflow_client(cluster, monkeypatch)
    runs_before, versions_before = kept(client)
    scored_before = len(airflow.runs(SCORE))
    run_id = airflow.trigger(TRAIN, {"epochs": epochs, "set": [f"train.seed={seed}", f"survival.seed={seed}"]})
    observed: list[Observed] = []
    yield run_id, observed
    trained = airflow.finish(TRAIN, run_id)
    scored = ""
    if airflow.states(TRAIN, run_id).get("promote") == "success" or not scored_before:
        while len(airflow.runs(SCORE)) == scored_before and trained == "success":
            time.sleep(1)
        scored = airflow.finish(SCORE, airflow.last_run(SCORE))
    runs, versions = kept(client)
    new = [run for key, run in runs.items() if key not in runs_before]
    tries = airflow.tries(TRAIN, run_id)
    observed.append(
        Observed(
            run_id,
            (trained, scored),
            airflow.states(TRAIN, run_id),
            tries,
            {
                "work": Counter(run.info.run_name.partition(",")[0].rpartition(" ")[0] for run in new),
                "statuses": {run.info.status for run in new},
                "keys": max(Counter(run.data.tags["brats.key"] for run in runs.values()).values()),
                "versions": {name: len(versions[name] - versions_before[name]) for name in MODELS},
                "losses": {
                    run.info.run_name: sorted(
                        point.step for point in client.get_metric_history(run.info.run_id, "loss")
                    )
                    for run in new
                    if run.info.run_name.startswith("train ")
                },
            },
            task_processes(cluster),
            [airflow.text(TRAIN, run_id, TRAINING, number + 1) for number in range(tries.get(TRAINING, 0))],
        )
    )


def check(observed: Observed, *, epochs: int = EPOCHS) -> None:
    """Check that a run came to its end, and that each piece of its work was done once."""
    assert observed.states[0] == "success", observed.tasks
    assert observed.states[1] in ("success", ""), observed.states
    assert set(observed.tasks.values()) <= {"success", "skipped"}, observed.tasks
    assert observed.made["work"] == WORK
    assert observed.made["keys"] == 1
    assert observed.made["statuses"] == {"FINISHED"}
    assert observed.made["versions"] == dict.fromkeys(MODELS, 1)
    # Each epoch is one point of the curve, whichever try it was in.
    (steps,) = observed.made["losses"].values()
    assert steps == sorted(set(steps))
    assert len(steps) == epochs
    assert observed.left == []


def logged_epochs(log: str) -> list[int]:
    return [int(epoch) for epoch in re.findall(r"^epoch (\d+)/", log, flags=re.MULTILINE)]


def wait_for_epoch(cluster: Cluster, epoch: int, *, after: float, limit_s: float = 900) -> None:
    """Wait for a checkpoint of this epoch or a later one that is younger than `after`."""
    deadline = time.monotonic() + limit_s
    while not any(
        int(path.name.removeprefix("epoch-")) >= epoch and path.stat().st_mtime > after
        for path in cluster.state.glob("checkpoints/*/epoch-*")
    ):
        assert time.monotonic() < deadline, f"no checkpoint of epoch {epoch}"
        time.sleep(0.1)


def take_over(cluster: Cluster, action: str) -> None:
    """Let the CPU worker take work of the queue `gpu` too (`add-queue`), or no longer (`remove-queue`)."""
    command = [sys.executable, "-m", "airflow", "celery", action, "--queues", "gpu"]
    command += ["--celery-hostname", f"cpu@{socket.gethostname()}"]
    subprocess.run(command, env=for_child(cluster.worker), check=True, capture_output=True, timeout=200)


@contextmanager
def down(cluster: Cluster, name: str) -> Iterator[None]:
    """Kill a server or a group, keep it down for a while, and start it again."""
    control.kill(cluster, name, hold=True)
    try:
        yield
        time.sleep(DOWN_S)
    finally:
        control.start(cluster, name)
    control.wait(cluster, members(name, services(cluster)))


def test_undisturbed(cluster: Cluster, airflow: Airflow, monkeypatch: pytest.MonkeyPatch) -> None:
    with observing(cluster, airflow, monkeypatch, seed=1) as (_, observed):
        pass
    (run,) = observed

    check(run)
    assert run.states == ("success", "success")
    assert {name for name, tries in run.tries.items() if tries > 1} == set()
    pushed = s3.client(cluster, "dvc").list_objects_v2(Bucket="dvc", Prefix="cache/")["KeyCount"]
    assert pushed > 20
    assert s3.client(cluster, "mlflow").list_objects_v2(Bucket="mlflow", Prefix="artifacts/")["KeyCount"] > 20


def test_a_worker_that_stops_hands_its_training_to_the_other(
    cluster: Cluster, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    with observing(cluster, airflow, monkeypatch, seed=2, epochs=LONG) as (_, observed):
        begun = time.time()
        wait_for_epoch(cluster, 2, after=begun)
        control.stop(cluster, "worker-gpu")
        take_over(cluster, "add-queue")
        log = cluster.folder / "logs/worker-cpu.log"
        taken = log.read_text(errors="replace").count(TRAINING)
    control.start(cluster, "worker-gpu")
    take_over(cluster, "remove-queue")
    (run,) = observed

    check(run, epochs=LONG)
    assert run.tries[TRAINING] == 2
    assert log.read_text(errors="replace").count(TRAINING) > taken
    first, second = map(logged_epochs, run.logs)
    assert first[0] == 1
    # The worker may stop between the checkpoint of an epoch and its line in the log.
    assert second[0] in (first[-1] + 1, first[-1] + 2)
    assert second == list(range(second[0], LONG + 1))


def test_a_killed_scheduler_and_a_killed_worker_cost_no_work(
    cluster: Cluster, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    with observing(cluster, airflow, monkeypatch, seed=3, epochs=LONG) as (run_id, observed):
        begun = time.time()
        airflow.wait_running(run_id, TRAINING)
        control.kill(cluster, "scheduler")
        wait_for_epoch(cluster, 3, after=begun)
        control.kill(cluster, "worker-gpu")
    (run,) = observed

    check(run, epochs=LONG)
    assert run.tries[TRAINING] == 2
    first, second = map(logged_epochs, run.logs)
    # The worker may die between the checkpoint of an epoch and its line in the log.
    assert {*first, second[0] - 1, *second} == set(range(1, LONG + 1))
    assert second[0] > 1


def test_each_store_and_server_may_be_away_for_a_while(
    cluster: Cluster, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    with observing(cluster, airflow, monkeypatch, seed=4) as (run_id, observed):
        begun = time.time()
        wait_for_epoch(cluster, 1, after=begun)
        with down(cluster, "mlflow"):
            pass
        with down(cluster, "postgres"):
            pass
        airflow.wait_begun(run_id, "evaluate.baseline_mini")
        with down(cluster, "redis"):
            pass
        airflow.wait_running(run_id, "publish")
        with down(cluster, "s3"):
            pass
    (run,) = observed

    check(run)


def test_the_main_process_of_a_worker_and_the_servers_of_the_last_actions_may_be_away(
    cluster: Cluster, airflow: Airflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    with observing(cluster, airflow, monkeypatch, seed=5) as (run_id, observed):
        begun = time.time()
        wait_for_epoch(cluster, 1, after=begun)
        # The main process of the worker alone: what it has started must end, too, before the next try begins.
        control.kill(cluster, "worker-gpu", whole=False)
        airflow.wait_running(run_id, "publish")
        with down(cluster, "mlflow"):
            pass
        airflow.wait_running(run_id, "gate")
        with down(cluster, "postgres"):
            pass
        airflow.wait_running(run_id, "push")
        with down(cluster, "s3"):
            pass
    (run,) = observed

    check(run)
    assert run.tries[TRAINING] == 2
