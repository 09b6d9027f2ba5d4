"""Airflow examines a cohort in shards: a kill costs a retry, a cleared task works, an unchanged cohort needs none."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.e2e.airflow import Airflow, kill
from tests.e2e.checkout import Checkout
from tests.e2e.conftest import GIT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
COHORT, SHARD = "brats_cohort", "validate_shards.shard"
SHARDS, CASES = 3, 24


@dataclass
class Observed:
    """What was seen of the runs."""

    states: dict[str, dict[str, str]] = field(default_factory=dict)
    tries: list[int] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    log: str = ""
    examined: tuple[dict[str, int], dict[str, int]] = ({}, {})


@pytest.fixture(scope="module")
def observed(make_checkout: Callable[..., Checkout]) -> Observed:
    checkout = make_checkout(f"orchestration.preparation_shards={SHARDS}", "orchestration.score=null")
    for dag in ("brats_train", "brats_score"):  # which a new cohort would start
        (checkout.root / f"dags/{dag}.py").unlink()
    subprocess.run([*GIT, "commit", "-qam", "one DAG"], cwd=checkout.root, check=True)
    observed = Observed()
    checkout.brats("up")
    try:
        with Airflow(checkout) as airflow:
            run_sequence(observed, checkout, airflow)
    finally:
        checkout.brats("down")
    return observed


def run_sequence(observed: Observed, checkout: Checkout, airflow: Airflow) -> None:
    run_id = airflow.trigger(COHORT, {"source": None, "revision": "HEAD"})
    kill(checkout, "stage", f"{SHARD}.1")
    airflow.wait(COHORT, run_id, until=lambda states: states.get("validate") == "running")
    before = examinations(checkout)
    observed.states["first"] = airflow.finish(COHORT, run_id)
    observed.examined = before, examinations(checkout)
    observed.tries = [task.tries for task in airflow.tasks(COHORT, run_id) if task.task_id == SHARD]
    observed.names = airflow.shards(COHORT, run_id, SHARD)
    observed.log = airflow.last_log(COHORT, run_id, "validate_shards.divide")

    airflow.clear(COHORT, run_id, SHARD)
    observed.states["cleared"] = airflow.finish(COHORT, run_id)

    again = airflow.trigger(COHORT, {"source": None, "revision": "HEAD"})
    observed.states["unchanged"] = airflow.finish(COHORT, again)


def examinations(checkout: Checkout) -> dict[str, int]:
    """Return the cached examinations with their inodes; one that is made again gets another inode."""
    return {path.name: path.stat().st_ino for path in (checkout.root / ".brats/examinations").glob("*.json")}


def test_a_killed_shard_is_retried_alone(observed: Observed) -> None:
    assert set(observed.states["first"].values()) <= {"success", "skipped"}
    assert sorted(observed.tries) == [1] * (SHARDS - 1) + [2]
    assert sorted(observed.names) == ["1 of 3", "2 of 3", "3 of 3"]


def test_the_stage_finds_every_case_examined(observed: Observed) -> None:
    before, after = observed.examined

    assert len(before) == CASES
    assert before == after


def test_shards_of_a_finished_run_can_be_cleared(observed: Observed) -> None:
    assert observed.states["cleared"][SHARD] == "success"
    assert "failed" not in observed.states["cleared"].values()


def test_an_unchanged_cohort_has_no_shards(observed: Observed) -> None:
    states = observed.states["unchanged"]

    assert states["validate_shards.divide"] == "success"
    assert states[SHARD] == states["validate"] == "skipped"
