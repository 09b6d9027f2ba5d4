"""Every DVC pipeline is rendered as tasks with the nodes and edges of DVC's own graph."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract import dag_reader

PIPELINES = Path(__file__).with_name("pipelines")
NAMES = sorted(path.name for path in PIPELINES.iterdir())
# The complete DAG file for a pipeline.
DAG_FILE = """
from pathlib import Path
from airflow.sdk import DAG
from brats_ml.orchestration.dag.rendering import DvcPipeline
with DAG("pipeline") as dag:
    DvcPipeline(Path(__file__).parent).render()
"""
AROUND = {"open", "close"}
# Edges that only a parameter makes and a path already implies, as in pipelines/digests. No other edge is left out.
IMPLIED = {("second", "digests")}


@pytest.fixture(scope="module", params=NAMES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC repository with one of the pipelines."""
    folder: Path = tmp_path_factory.mktemp("pipeline") / str(request.param)
    shutil.copytree(PIPELINES / str(request.param), folder)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=folder, check=True)
    (folder / "dag.py").write_text(DAG_FILE)
    return folder


@pytest.fixture(scope="module")
def tasks(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return dag_reader.run(dag_reader.PARSE, folder / "dag.py", home=tmp_path_factory.mktemp("airflow"))["tasks"]


@pytest.fixture(scope="module")
def stages(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return dag_reader.run(dag_reader.INDEX, folder, home=tmp_path_factory.mktemp("dvc"))


def test_nodes_and_edges_are_those_of_dvc_without_implied_parameter_edges(tasks: Any, stages: Any) -> None:
    drawn = {
        task["address"]: sorted(tasks[needed]["address"] for needed in task["upstream"] if needed not in AROUND)
        for name, task in tasks.items()
        if name not in AROUND
    }

    assert drawn == {
        address: [need for need in stage["upstream"] if (address, need) not in IMPLIED]
        for address, stage in stages.items()
    }


def test_open_is_the_first_task_and_close_the_last(tasks: Any, stages: Any) -> None:
    needed = {upstream for stage in stages.values() for upstream in stage["upstream"]}
    last = {name for name, task in tasks.items() if task["address"] in stages.keys() - needed}

    assert [name for name, task in tasks.items() if not task["upstream"]] == ["open"]
    assert set(tasks["close"]["upstream"]) == last


def test_the_items_of_a_stage_are_in_one_group(tasks: Any) -> None:
    for task in tasks.values():
        assert (task["group"] is not None) == ("@" in (task["address"] or ""))


def test_a_task_has_the_settings_of_meta_airflow(tasks: Any, stages: Any) -> None:
    for task in tasks.values():
        declared = stages.get(task["address"], {})
        assert task["pool"] == declared.get("pool", "default_pool")
        assert task["queue"] == declared.get("queue", "default")
        assert task["retries"] == declared.get("retries", 3)
        assert task["priority"] == declared.get("priority", 1)
        if task["address"]:
            assert task["minutes"] == declared.get("timeout_minutes")
