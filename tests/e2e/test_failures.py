"""Failures that any pipeline can have. Each ends the task, with one sentence as the last line of its log."""

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
    desc: ignores signals, because C code holds the interpreter
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

from brats_ml.orchestration.dag.approval import GateApproval
from brats_ml.orchestration.dag.operators import DVC
from brats_ml.orchestration.dag.rendering import DvcPipeline

ROOT = Path(__file__).parents[1]
for name in ("deaf", "full", "dies", "shared"):
    with DAG(name):
        DvcPipeline(ROOT, stages=[name]).render()
with DAG("unreachable"):
    pipeline = DvcPipeline(ROOT, stages=["shared"])
    stages = pipeline.stages(after=pipeline.open())
    stages["shared"] >> pipeline.command("push", [*DVC, "push", "--remote", "far"], doc_md="", retries=1)
with DAG("asks", params={"approval": Param(False)}):

    @task
    def gate() -> dict[str, object]:
        return {"promote": True, "approval": True, "markdown": "PROMOTE"}

    @task
    def promote() -> None:
        pass

    gate() >> GateApproval(task_id="approve", checkout=str(ROOT), response_timeout=timedelta(seconds=20)) >> promote()
"""
# No default remote: only `push` uses the remote `far`.
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
class FinishedRun:
    """The states, tries and last log lines of the tasks of a run."""

    states: dict[str, str]
    tries: dict[str, int]
    last_lines: dict[str, str]


@dataclass
class Observed:
    """The finished runs of each DAG in the order of their start, and the processes that were left over."""

    runs: dict[str, list[FinishedRun]] = field(default_factory=lambda: defaultdict(list))
    left: list[Any] = field(default_factory=list)


@pytest.fixture(scope="module")
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    checkout = make_checkout()
    root = checkout.root
    for dag in root.glob("dags/*.py"):
        dag.unlink()
    (root / "dvc.lock").unlink(missing_ok=True)
    files = {"dvc.yaml": PIPELINE, "deaf.py": DEAF, "dags/failures.py": DAGS, ".dvc/config": REMOTE}
    for name, text in files.items():
        (root / name).write_text(text)
    for command in (["add", "-A"], ["commit", "-q", "-m", "another pipeline"]):
        subprocess.run([*GIT, *command], cwd=root, check=True)
    return checkout


@pytest.fixture(scope="module")
def observed(checkout: Checkout) -> Observed:
    """Start every DAG, one of them twice at the same time, and wait for all runs."""
    observed = Observed()
    checkout.brats("up")
    with Airflow(checkout) as airflow:
        runs = [(dag, airflow.trigger(dag, {})) for dag in ("shared", "shared", "deaf", "full", "dies", "asks")]
        rejected = airflow.trigger("asks", {})
        answer(airflow, rejected, "Reject")
        observed.runs["rejected"].append(finish(airflow, "asks", rejected))
        airflow.clear("asks", rejected, "approve", "promote")
        answer(airflow, rejected, "Approve")
        # The runs above computed something to push.
        runs += [("asks", rejected), ("unreachable", airflow.trigger("unreachable", {}))]
        for dag, run_id in runs:
            observed.runs[dag].append(finish(airflow, dag, run_id))
    observed.left = [process for process in marked(checkout.root) if "deaf.py" in " ".join(process.cmdline())]
    checkout.brats("down")
    return observed


def answer(airflow: Airflow, run_id: str, option: str) -> None:
    airflow.wait("asks", run_id, until=lambda states: states["approve"] == "awaiting_input")
    airflow.answer("asks", run_id, "approve", option)


def finish(airflow: Airflow, dag: str, run_id: str) -> FinishedRun:
    states = airflow.finish(dag, run_id)
    logged = [task_id for task_id, state in states.items() if state in ENDED]
    return FinishedRun(
        states=states,
        tries={task.task_id: task.tries for task in airflow.tasks(dag, run_id)},
        last_lines={task_id: airflow.last_log(dag, run_id, task_id).splitlines()[-1] for task_id in logged},
    )


def test_a_timeout_ends_a_stage_that_ignores_signals(observed: Observed) -> None:
    (run,) = observed.runs["deaf"]

    assert run.states == {"open": "success", "deaf": "failed", "close": "upstream_failed"}
    assert "deaf took longer than 0:00:06 and was ended" in run.last_lines["deaf"]
    assert observed.left == []


def test_a_full_disk_fails_a_stage_without_a_retry(observed: Observed) -> None:
    (run,) = observed.runs["full"]

    assert run.states == {"open": "success", "full": "failed", "close": "upstream_failed"}
    assert "No space left on device" in run.last_lines["full"]
    assert run.tries["full"] == 1


def test_a_killed_stage_is_retried_and_the_log_names_the_signal(observed: Observed) -> None:
    (run,) = observed.runs["dies"]

    assert run.states == {"open": "success", "dies": "failed", "close": "upstream_failed"}
    assert run.tries["dies"] == 2
    assert "dies was ended by signal 9" in run.last_lines["dies"]


def test_two_simultaneous_runs_of_a_dag_both_succeed(observed: Observed) -> None:
    assert len(observed.runs["shared"]) == 2
    for run in observed.runs["shared"]:
        assert run.states.pop("shared") in ("success", "skipped")
        assert run.states == {"open": "success", "close": "success"}


def test_an_unanswered_approval_is_rejected(observed: Observed) -> None:
    assert observed.runs["asks"][0].states == {"gate": "success", "approve": "success", "promote": "skipped"}


def test_a_cleared_rejection_asks_again(observed: Observed) -> None:
    assert observed.runs["rejected"][0].states == {"gate": "success", "approve": "success", "promote": "skipped"}
    assert observed.runs["asks"][1].states == {"gate": "success", "approve": "success", "promote": "success"}


def test_an_unreachable_remote_is_retried_and_named(observed: Observed) -> None:
    (run,) = observed.runs["unreachable"]

    # The result of the earlier run comes from the shared cache.
    assert run.states == {"open": "success", "shared": "skipped", "push": "failed"}
    assert run.tries["push"] == 2
    assert "127.0.0.1:9" in run.last_lines["push"]
