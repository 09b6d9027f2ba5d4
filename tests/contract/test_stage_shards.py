"""A stage with shards gets two tasks in front of it; what it waits for and what waits for it stay the same."""

import subprocess
import sys
from typing import Any

import pytest

from tests.contract import dag_reader
from tests.contract.test_rendering import DAG_FILE

PIPELINE = """
stages:
  first: {cmd: echo first, outs: [a]}
  wide:
    cmd: echo wide
    deps: [a]
    outs: [b]
    meta: {airflow: {pool: cpu, queue: fast, retries: 4, timeout_minutes: 7, priority: 3, shards: "${shards}"}}
  many:
    matrix: {item: [x, y]}
    cmd: echo many ${item.item}
    deps: [b]
    outs: ["c.${item.item}"]
    meta: {airflow: {shards: 2}}
  wide_shards: {cmd: echo its name is taken, outs: [d]}
"""


@pytest.fixture(scope="module")
def parse(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("pipeline")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=folder, check=True)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "dag.py").write_text(DAG_FILE)

    def tasks(shards: int) -> Any:
        (folder / "params.yaml").write_text(f"shards: {shards}\n")
        return dag_reader.run(dag_reader.PARSE, folder / "dag.py", home=folder / "airflow")["tasks"]

    return tasks


@pytest.fixture(scope="module")
def tasks(parse: Any) -> Any:
    return parse(5)


def test_the_shards_run_between_a_stage_and_what_it_waits_for(tasks: Any) -> None:
    assert tasks["wide_shards_.divide"]["upstream"] == ["first"]
    assert tasks["wide_shards_.shard"]["upstream"] == ["wide_shards_.divide"]
    assert tasks["wide"]["upstream"] == ["first", "wide_shards_.shard"]
    assert tasks["many.x_shards.divide"]["upstream"] == ["wide"]
    assert tasks["many.x"]["upstream"] == ["many.x_shards.shard", "wide"]
    assert tasks["close"]["upstream"] == ["many.x", "many.y", "wide_shards"]


def test_shards_run_with_the_settings_of_their_stage(tasks: Any) -> None:
    names = ("pool", "queue", "retries", "minutes", "priority", "rule")
    stage, divide, shard = (
        {name: tasks[task][name] for name in names} for task in ("wide", "wide_shards_.divide", "wide_shards_.shard")
    )

    assert stage == divide == shard
    assert (stage["pool"], stage["queue"], stage["retries"], stage["minutes"]) == ("cpu", "fast", 4, 7)
    assert tasks["wide_shards_.shard"]["name"] == "{{ task.shard }}"


def test_a_stage_without_shards_has_no_further_task(parse: Any) -> None:
    assert {name for name in parse(0) if name.startswith("wide")} == {"wide", "wide_shards"}
