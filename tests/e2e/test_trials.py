"""Parts of runs are killed at random moments, thirty times and more; every run ends well all the same."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from brats_ml.adapters.tracking.runs import embedded_store
from brats_ml.workspace.state import State
from tests.e2e.airflow import Airflow, at_work, kill
from tests.e2e.checkout import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400)]
DAG = "brats_train"
EPOCHS = 6
TRIALS = 30
KINDS = ("stage", "dvc", "task", "scheduler")
# What computes in every run of another seed, and for how many seconds a kill may wait in it.
TARGETS = {
    "train.baseline_mini": 14.0, "evaluate.baseline_mini": 8.0, "survival.random_forest": 4.0, "survival.svm": 4.0,
    "survival.knn": 4.0, "survival.cox": 4.0, "compare": 3.0,
}  # fmt: skip


@dataclass
class Trials:
    """What was killed, and what was seen of the runs."""

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
    trials, chance = Trials(), random.Random()  # noqa: S311 - no secret hangs on it
    checkout.brats("up")
    with Airflow(checkout) as airflow:
        while len(trials.killed) < TRIALS:
            seed = len(trials.states)
            assert seed < TRIALS, f"only {len(trials.killed)} kills hit"
            run_id = airflow.trigger(
                DAG, {"recipes": ["baseline_mini"], "set": [f"train.seed={seed}", f"survival.seed={seed}"]}
            )
            attack(checkout, trials, chance)
            trials.states[run_id] = airflow.finish(DAG, run_id, limit_s=900)
            trials.left += [process for task in TARGETS for process in at_work(checkout, task)]
    checkout.brats("down")
    return trials


def attack(checkout: Checkout, trials: Trials, chance: random.Random) -> None:
    """Let each kind of kill hit another task of the run that has just been started, at a moment drawn by lot."""
    tasks = chance.sample(list(TARGETS), len(KINDS))
    threads = []
    for what, task in zip(KINDS, tasks, strict=True):
        delay_s = chance.uniform(0, TARGETS[task])
        threads.append(threading.Thread(target=strike, args=(checkout, trials, what, task, delay_s)))
        threads[-1].start()
    for thread in threads:
        thread.join()


def strike(checkout: Checkout, trials: Trials, what: str, task: str, delay_s: float) -> None:
    checkout.wait_for(lambda: bool(at_work(checkout, task)), limit_s=600)
    time.sleep(delay_s)
    try:
        kill(checkout, what, task, limit_s=1)
    except AssertionError:
        return  # it was done already, and this was no trial
    trials.killed.append((what, task, delay_s))
    if what == "scheduler":
        checkout.brats("up")


def test_every_run_ends_well(trials: Trials) -> None:
    assert len(trials.killed) >= TRIALS
    assert Counter(what for what, _, _ in trials.killed).keys() == set(KINDS)
    for states in trials.states.values():
        assert {state for state in states.values() if state not in ("success", "skipped")} == set(), trials.killed
        # The form leaves the second of the two declared recipes out.
        assert {states["train.seed"], states["evaluate.seed"]} == {"skipped"}


def test_nothing_works_on_beside_a_retry(trials: Trials) -> None:
    assert trials.left == []


def test_every_piece_of_work_has_one_run_with_each_epoch_once(trials: Trials, checkout: Checkout) -> None:
    client = MlflowClient(embedded_store(State(checkout.root / ".brats")))
    experiment = client.get_experiment_by_name("brats")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    keys = Counter(run.data.tags["brats.key"] for run in runs)
    trained = [run for run in runs if run.info.run_name == "train baseline_mini"]

    assert set(keys.values()) == {1}
    assert len(trained) == len(trials.states)
    for run in trained:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "loss")]
        assert sorted(steps) == list(range(1, EPOCHS + 1))


def test_every_model_has_one_version_a_piece_of_work(trials: Trials, checkout: Checkout) -> None:
    client = MlflowClient(embedded_store(State(checkout.root / ".brats")))
    for name in ("brats-segmentation", "brats-survival"):
        versions = client.search_model_versions(f"name = '{name}'")
        assert set(Counter(version.tags["brats.key"] for version in versions).values()) == {1}
