"""Misfortunes of any pipeline: each ends in a state and in one sentence of the task's log, and nothing hangs."""

import subprocess
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from brats_ml.orchestration.runs.processes import marked
from tests.e2e.airflow import Airflow
from tests.e2e.checkout import Checkout
from tests.e2e.conftest import GIT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PIPELINE = """
stages:
  deaf:
    desc: hears no signal, since C code holds the interpreter
    cmd: python deaf.py
    meta: {airflow: {timeout_minutes: 0.1, retries: 0}}
  full:
    cmd: python -c "open('/dev/full', 'w', buffering=1).write('a line\\n')"
  dies:
    cmd: echo at work; kill -9 $$
    meta: {airflow: {retries: 1}}
  shared:
    cmd: sleep 3; date +%N > shared.txt
    deps: [deaf.py]
    outs: [shared.txt]
"""
DEAF = """
import ctypes, signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
ctypes.PyDLL(None).sleep(600)
"""
DAGS = """
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Param, task

from brats_ml.orchestration.approval import GateApproval
from brats_ml.orchestration.rendering import Pipeline
from brats_ml.orchestration.tasks import DVC

ROOT = Path(__file__).parents[1]
for name in ("deaf", "full", "dies", "shared"):
    with DAG(name):
        Pipeline(ROOT, stages=[name]).draw()
with DAG("unreachable"):
    pipeline = Pipeline(ROOT, stages=["shared"])
    stages = pipeline.stages(after=pipeline.open())
    stages["shared"] >> pipeline.command("push", [*DVC, "push", "--remote", "far"], doc_md="", retries=1)
with DAG("asks", params={"approval": Param(True)}):

    @task
    def gate() -> dict[str, object]:
        return {"promote": True, "markdown": "PROMOTE"}

    @task
    def promote() -> None:
        pass

    gate() >> GateApproval(task_id="approve", response_timeout=timedelta(seconds=20)) >> promote()
"""
# Without a remote of its own for everything else.
REMOTE = """
[core]
    analytics = false
['remote "far"']
    url = s3://brats/cache
    endpointurl = http://127.0.0.1:9
    access_key_id = nobody
    secret_access_key = nothing
"""


ENDED = ("success", "failed")


@dataclass
class Ended:
    """How a run ended: states, tries and last lines of the logs of its tasks."""

    states: dict[str, str]
    tries: dict[str, int]
    last_words: dict[str, str]


@dataclass
class Seen:
    """Runs by DAG, in the order in which they were started, and what was still at work after them."""

    runs: dict[str, list[Ended]] = field(default_factory=lambda: defaultdict(list))
    left: list[Any] = field(default_factory=list)


@pytest.fixture(scope="module")
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    checkout = make_checkout()
    root = checkout.root
    for dag in root.glob("dags/*.py"):
        dag.unlink()
    (root / "dvc.lock").unlink(missing_ok=True)
    files = {"dvc.yaml": PIPELINE, "deaf.py": DEAF, "dags/misfortune.py": DAGS, ".dvc/config": REMOTE}
    for name, text in files.items():
        (root / name).write_text(text)
    for command in (["add", "-A"], ["commit", "-q", "-m", "a stranger's pipeline"]):
        subprocess.run([*GIT, *command], cwd=root, check=True)
    return checkout


@pytest.fixture(scope="module")
def seen(checkout: Checkout) -> Seen:
    """Start every DAG, one of them twice at once, and wait for all."""
    seen = Seen()
    checkout.brats("up")
    with Airflow(checkout) as airflow:
        runs = [(dag, airflow.trigger(dag, {})) for dag in ("shared", "shared", "deaf", "full", "dies", "asks")]
        rejected = airflow.trigger("asks", {})
        answer(airflow, rejected, "Reject")
        seen.runs["rejected"].append(ended(airflow, "asks", rejected))
        airflow.clear("asks", rejected, "approve", "promote")
        answer(airflow, rejected, "Approve")
        # By now there is something to push.
        runs += [("asks", rejected), ("unreachable", airflow.trigger("unreachable", {}))]
        for dag, run_id in runs:
            seen.runs[dag].append(ended(airflow, dag, run_id))
    seen.left = [process for process in marked(checkout.root) if "deaf.py" in " ".join(process.cmdline())]
    checkout.brats("down")
    return seen


def answer(airflow: Airflow, run_id: str, option: str) -> None:
    airflow.wait("asks", run_id, until=lambda states: states["approve"] == "awaiting_input")
    airflow.answer("asks", run_id, "approve", option)


def ended(airflow: Airflow, dag: str, run_id: str) -> Ended:
    states = airflow.finish(dag, run_id)
    logged = [task_id for task_id, state in states.items() if state in ENDED]
    return Ended(
        states=states,
        tries={task.task_id: task.tries for task in airflow.tasks(dag, run_id)},
        last_words={task_id: airflow.told(dag, run_id, task_id).splitlines()[-1] for task_id in logged},
    )


def test_a_timeout_ends_a_stage_that_hears_no_signal(seen: Seen) -> None:
    (run,) = seen.runs["deaf"]

    assert run.states == {"open": "success", "deaf": "failed", "close": "upstream_failed"}
    assert "deaf took longer than 0:00:06 and was ended" in run.last_words["deaf"]
    assert seen.left == []


def test_a_full_disk_fails_a_stage_at_once(seen: Seen) -> None:
    (run,) = seen.runs["full"]

    assert run.states == {"open": "success", "full": "failed", "close": "upstream_failed"}
    assert "No space left on device" in run.last_words["full"]
    assert run.tries["full"] == 1


def test_a_stage_that_dies_without_a_word_is_tried_again_and_named(seen: Seen) -> None:
    (run,) = seen.runs["dies"]

    assert run.states == {"open": "success", "dies": "failed", "close": "upstream_failed"}
    assert run.tries["dies"] == 2
    assert "dies was ended by signal 9" in run.last_words["dies"]


def test_two_runs_of_one_dag_at_once_both_end_well(seen: Seen) -> None:
    assert len(seen.runs["shared"]) == 2
    for run in seen.runs["shared"]:
        assert run.states.pop("shared") in ("success", "skipped")
        assert run.states == {"open": "success", "close": "success"}


def test_an_unanswered_approval_rejects(seen: Seen) -> None:
    assert seen.runs["asks"][0].states == {"gate": "success", "approve": "success", "promote": "skipped"}


def test_a_rejection_can_be_cleared_and_is_asked_again(seen: Seen) -> None:
    assert seen.runs["rejected"][0].states == {"gate": "success", "approve": "success", "promote": "skipped"}
    assert seen.runs["asks"][1].states == {"gate": "success", "approve": "success", "promote": "success"}


def test_a_remote_that_cannot_be_reached_is_tried_again_and_named(seen: Seen) -> None:
    (run,) = seen.runs["unreachable"]

    # What an earlier run computed comes from the shared cache.
    assert run.states == {"open": "success", "shared": "skipped", "push": "failed"}
    assert run.tries["push"] == 2
    assert "127.0.0.1:9" in run.last_words["push"]
