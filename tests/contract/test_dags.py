"""The DAG files agree with dvc.yaml, explain themselves, and are cheap to parse."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"tensorflow", "keras", "mlflow", "great_expectations", "pandas", "sklearn", "matplotlib", "dvc", "nibabel"}
AROUND_THE_STAGES = {"configure", "publish", "gate", "promote", "push"}

# Airflow writes a configuration where it is first imported, DVC a lock: each gets a process of its own.
PARSE = """
import importlib.util, json, sys, time
import airflow.sdk
from airflow.sdk import DAG
begun = time.monotonic()
spec = importlib.util.spec_from_file_location("dag_file", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
seconds = time.monotonic() - begun
dag = next(value for value in vars(module).values() if isinstance(value, DAG))
print(json.dumps({
    "seconds": seconds,
    "modules": sorted({name.partition(".")[0] for name in sys.modules}),
    "id": dag.dag_id, "doc": dag.doc_md, "tags": sorted(dag.tags), "runs": dag.max_active_runs, "catchup": dag.catchup,
    "form": {name: {"description": dag.params.get_param(name).description, **dag.params.get_param(name).schema}
             for name in dag.params},
    "tasks": {task.task_id: {
        "owner": task.owner, "doc": task.doc_md, "pool": task.pool, "retries": task.retries,
        "minutes": task.execution_timeout and task.execution_timeout.total_seconds() / 60,
        "upstream": sorted(task.upstream_task_ids), "command": getattr(task, "command", None),
    } for task in dag.tasks},
}))
"""
INDEX = """
import json, sys
from dvc.repo import Repo
graph = Repo(sys.argv[1]).index.graph
print(json.dumps({stage.name: {
    "upstream": sorted(needed.name for needed in graph.successors(stage)),
    **stage.meta["airflow"],
} for stage in graph}))
"""


def _run(script: str, argument: Path, home: Path) -> Any:
    environment = {**os.environ, "AIRFLOW_HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(argument)], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


@pytest.fixture(scope="module")
def train(home: Path) -> Any:
    return _run(PARSE, ROOT / "dags/brats_train.py", home)


@pytest.fixture(scope="module")
def score(home: Path) -> Any:
    return _run(PARSE, ROOT / "dags/brats_score.py", home)


@pytest.fixture(scope="module")
def stages(home: Path) -> Any:
    return _run(INDEX, ROOT, home)


@pytest.fixture(params=["train", "score"])
def dag(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def _address(task_id: str) -> str:
    return task_id.replace(".", "@")


def test_tasks_of_brats_train_are_the_stages_of_dvc_and_the_actions_around_them(train: Any, stages: Any) -> None:
    assert {_address(task) for task in train["tasks"]} == stages.keys() | AROUND_THE_STAGES


def test_edges_between_stages_are_those_of_dvc(train: Any, stages: Any) -> None:
    drawn = {
        _address(name): sorted(_address(needed) for needed in task["upstream"] if needed != "configure")
        for name, task in train["tasks"].items()
        if name not in AROUND_THE_STAGES
    }
    assert drawn == {name: stage["upstream"] for name, stage in stages.items()}


def test_every_stage_runs_after_the_form_was_applied(train: Any) -> None:
    first = [name for name, task in train["tasks"].items() if not task["upstream"]]
    assert first == ["configure"]


def test_pool_retries_and_timeout_of_a_task_are_those_of_its_stage(train: Any, stages: Any) -> None:
    for name, task in train["tasks"].items():
        if name not in AROUND_THE_STAGES:
            stage = stages[_address(name)]
            assert (task["pool"], task["retries"], task["minutes"]) == (
                stage["pool"],
                stage["retries"],
                stage["timeout_minutes"],
            )


def test_each_stage_task_repeats_exactly_its_own_stage(train: Any) -> None:
    for name, task in train["tasks"].items():
        if name not in AROUND_THE_STAGES:
            assert task["command"][-4:] == ["repro", "--single-item", "--pull", _address(name)]


def test_promotion_waits_for_the_gate_and_for_the_push_to_the_remote(train: Any) -> None:
    assert train["tasks"]["promote"]["upstream"] == ["gate", "push"]


def test_a_dag_says_what_it_is_and_never_runs_twice_at_once(dag: Any) -> None:
    assert dag["doc"].strip()
    assert "brats" in dag["tags"]
    assert dag["runs"] == 1
    assert dag["catchup"] is False


def test_every_task_has_an_owner_and_a_description(dag: Any) -> None:
    for task in dag["tasks"].values():
        assert task["owner"] == "brats_ml"
        assert task["doc"]


def test_every_field_of_the_form_has_a_title_and_a_description(dag: Any) -> None:
    assert dag["form"]
    for field in dag["form"].values():
        assert all(field[key] for key in ("title", "description", "type"))


def test_parsing_a_dag_file_imports_nothing_heavy(dag: Any) -> None:
    assert not HEAVY & set(dag["modules"])


def test_parsing_a_dag_file_takes_less_than_two_seconds_beyond_airflow_itself(dag: Any) -> None:
    assert dag["seconds"] < 2


def test_the_folder_of_dags_holds_only_files_that_define_one() -> None:
    assert {path.name for path in (ROOT / "dags").glob("*.py")} == {"brats_train.py", "brats_score.py"}
