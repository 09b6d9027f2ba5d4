"""At least thirty times, a process of a run is killed at a random moment. Every run must still succeed."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.workspace.state import State
from tests.e2e.airflow import Airflow, kill, processes_of
from tests.e2e.checkout import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]
DAG = "brats_train"
EPOCHS = 6
TRIALS = 30
KINDS = ("stage", "dvc", "task", "scheduler")
# Tasks that compute in every run because its seed is new, and the longest delay of a kill after their start, in s.
MAX_DELAY_S = {
    "train.baseline_mini": 14.0, "evaluate.baseline_mini": 8.0, "survival.random_forest": 4.0, "survival.svm": 4.0,
    "survival.knn": 4.0, "survival.cox": 4.0, "survival.age": 4.0, "compare": 3.0,
}  # fmt: skip


@dataclass
class Trials:
    """The kills, the states of the runs, and the processes that were left over."""

    killed: list[tuple[str, str, float]] = field(default_factory=list)
    states: dict[str, dict[str, str]] = field(default_factory=dict)
    left: list[Any] = field(default_factory=list)


@pytest.fixture(scope="module")
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    return make_checkout(
        f"recipes.baseline_mini.epochs={EPOCHS}", "train.recipes=[baseline_mini, baseline]", "orchestration.score=null"
    )


@pytest.fixture(scope="module")
def trials(checkout: Checkout) -> Trials:
    trials, generator = Trials(), random.Random()  # noqa: S311 - not for a secret
    checkout.brats("up")
    with Airflow(checkout) as airflow:
        while len(trials.killed) < TRIALS:
            seed = len(trials.states)
            assert seed < TRIALS, f"only {len(trials.killed)} kills hit"
            run_id = airflow.trigger(
                DAG, {"recipes": ["baseline_mini"], "set": [f"train.seed={seed}", f"survival.seed={seed}"]}
            )
            kill_parts(checkout, trials, generator)
            trials.states[run_id] = airflow.finish(DAG, run_id, limit_s=900)
            trials.left += [process for task in MAX_DELAY_S for process in processes_of(checkout, task)]
    checkout.brats("down")
    return trials


def kill_parts(checkout: Checkout, trials: Trials, generator: random.Random) -> None:
    """Apply each kind of kill to a different random task of the current run, after a random delay."""
    tasks = generator.sample(list(MAX_DELAY_S), len(KINDS))
    threads = []
    for what, task in zip(KINDS, tasks, strict=True):
        delay_s = generator.uniform(0, MAX_DELAY_S[task])
        threads.append(threading.Thread(target=kill_part, args=(checkout, trials, what, task, delay_s)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def kill_part(checkout: Checkout, trials: Trials, what: str, task: str, delay_s: float) -> None:
    checkout.wait_for(lambda: bool(processes_of(checkout, task)), limit_s=600)
    time.sleep(delay_s)
    try:
        kill(checkout, what, task, limit_s=1)
    except AssertionError:
        return  # the task had already ended, so nothing was killed
    trials.killed.append((what, task, delay_s))
    if what == "scheduler":
        checkout.brats("up")


def test_every_run_succeeds(trials: Trials) -> None:
    assert len(trials.killed) >= TRIALS
    assert Counter(what for what, _, _ in trials.killed).keys() == set(KINDS)
    for states in trials.states.values():
        assert {state for state in states.values() if state not in ("success", "skipped")} == set(), trials.killed
        # The form leaves out the recipe `baseline`.
        assert {states["train.baseline"], states["evaluate.baseline"]} == {"skipped"}


def test_no_killed_process_survives_next_to_its_retry(trials: Trials) -> None:
    assert trials.left == []


def test_every_key_has_one_mlflow_run_with_each_epoch_once(trials: Trials, checkout: Checkout) -> None:
    client = MlflowClient(embedded_store(State(checkout.root / ".brats")))
    experiment = client.get_experiment_by_name("brats")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    keys = Counter(run.data.tags["brats.key"] for run in runs)
    trained = [run for run in runs if run.info.run_name.startswith("train baseline_mini ")]

    assert set(keys.values()) == {1}
    assert len(trained) == len(trials.states)
    for run in trained:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "loss")]
        assert sorted(steps) == list(range(1, EPOCHS + 1))


def test_every_key_has_one_model_version(trials: Trials, checkout: Checkout) -> None:
    client = MlflowClient(embedded_store(State(checkout.root / ".brats")))
    for name in ("brats-segmentation", "brats-survival"):
        versions = client.search_model_versions(f"name = '{name}'")
        assert set(Counter(version.tags["brats.key"] for version in versions).values()) == {1}
