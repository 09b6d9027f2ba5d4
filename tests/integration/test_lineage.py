"""Events of OpenLineage carry the MD5 that DVC recorded, and a skipped or failed stage claims no more than it did."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
PIPELINE = """
stages:
  one: {cmd: "mkdir one && cp source one/copy", deps: [source], outs: [one]}
  two: {cmd: "test -s source && cp one/copy two", deps: [one/copy, source], outs: [two]}
"""
NESTED = "stages: {three: {cmd: cp ../two three, deps: [../two], outs: [three]}}\n"
DAG_FILE = """
from pathlib import Path
from airflow.sdk import DAG
from brats_ml.orchestration.dag.rendering import DvcPipeline
with DAG("pipeline", schedule=None, default_args={"retries": 0}) as dag:
    DvcPipeline(Path(__file__).parent).render()
"""
RUN = """
import sys, dag
dag.dag.get_task("two").retries = 0
dag.dag.test()
"""
NAMESPACES = """
import json, sys
from pathlib import Path
from brats_ml.orchestration.dag import lineage
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.outcomes import Outcome
from brats_ml.workspace.state import State
found = [lineage.namespace(Locations(address, State(Path("state")))) for address in json.loads(sys.argv[1])]
commands = {
    "publish": {"segmentation": "net v3", "survival": None},
    "promote": {"segmentation": {"model": "net", "version": 3, "verdict": "PROMOTE"},
                "survival": {"model": "cox", "version": 1, "verdict": "HOLD"}},
    "score": {"segmentation": "net v3", "survival": "cox v1"},
    "gate": ["net v3"],
}
events = {}
for name, models in commands.items():
    made = lineage.of_command(["python", "-m", "brats_ml", name], Outcome("done", details={"models": models}))
    events[name] = [[[one.name, one.facets["version"].datasetVersion] for one in side]
                    for side in (made.inputs, made.outputs)]
print(json.dumps([found, events]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lineage")


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    """The variables of an Airflow that writes its events to a file; only they switch the events on."""
    transport = {"type": "file", "log_file_path": str(folder / "events.json"), "append": True}
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{folder / 'repository'}",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "repository"),
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
        "BRATS_STATE": str(folder / "state"),
    }


@pytest.fixture(scope="module")
def repository(folder: Path) -> Path:
    root = folder / "repository"
    put(root, {"dvc.yaml": PIPELINE, "below/dvc.yaml": NESTED, "source": "text", "dag.py": DAG_FILE})
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    address = "https://anna:secret@git.hospital.example/tumours.git"
    subprocess.run(["git", "remote", "add", "origin", address], cwd=root, check=True)
    commit(root)
    return root


def put(root: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def commit(root: Path) -> None:
    subprocess.run([*GIT, "add", "-A"], cwd=root, check=True)
    subprocess.run([*GIT, "commit", "-q", "-m", "test"], cwd=root, check=True)


def run(folder: Path, environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Run the DAG and return the last event of each task."""
    written = folder / "events.json"
    written.unlink(missing_ok=True)
    subprocess.run([sys.executable, "-c", RUN], env=environment, cwd=folder, check=True)
    events = [json.loads(line) for line in written.read_text().splitlines()]
    return {event["job"]["name"].partition(".")[2]: event for event in events if event["eventType"] != "START"}


def versions(event: dict[str, Any], side: str) -> dict[str, str]:
    assert all(one["namespace"] == "https://git.hospital.example/tumours.git" for one in event[side])
    return {one["name"]: one["facets"]["version"]["datasetVersion"] for one in event[side]}


def recorded(folder: Path, name: str, stage: str) -> tuple[dict[str, str], dict[str, str]]:
    [lock] = (path for path in (folder / "state/runs/pipeline").glob(f"*/{name}"))
    entry = YAML(typ="safe").load(lock)["stages"][stage]
    deps, outs = ({one["path"]: one["md5"] for one in entry[side]} for side in ("deps", "outs"))
    return deps, outs


@pytest.mark.slow
def test_every_stage_of_a_run_reports_what_dvc_recorded(
    folder: Path, repository: Path, environment: dict[str, str]
) -> None:
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True)
    events = run(folder, environment)

    for stage in ("one", "two"):
        deps, outs = recorded(folder, "dvc.lock", stage)
        assert (versions(events[stage], "inputs"), versions(events[stage], "outputs")) == (deps, outs)
        assert events[stage]["run"]["facets"]["brats_stage"]["state"] == "computed"
    deps, outs = recorded(folder, "below/dvc.lock", "three")
    three = next(event for name, event in events.items() if "three" in name)
    assert versions(three, "inputs") == {"two": deps["../two"]}
    assert versions(three, "outputs") == {"below/three": outs["three"]}
    assert "secret" not in json.dumps(events)

    again = run(folder, environment)
    assert again["two"]["run"]["facets"]["brats_stage"]["state"] == "unchanged"
    assert [again["two"][side] for side in ("inputs", "outputs")] == [
        events["two"][side] for side in ("inputs", "outputs")
    ]

    (repository / "source").write_text("")
    commit(repository)
    failed = run(folder, environment)
    assert failed["two"]["eventType"] == "FAIL"
    assert (failed["two"]["inputs"], failed["two"]["outputs"]) == ([], [])
    assert failed["two"]["run"]["facets"]["brats_stage"]["state"] == "failed"
    assert versions(failed["one"], "outputs") != versions(events["one"], "outputs")


def test_a_namespace_has_no_credentials_and_models_have_versions(tmp_path: Path) -> None:
    addresses = [
        "https://anna:secret@git.example/a.git",
        "git@git.example:group/a.git",
        "ssh://git@git.example:22/a.git",
        "s3://bucket/a?token=secret",
        str(tmp_path / "plain"),
    ]
    variables = {**os.environ, "AIRFLOW_HOME": str(tmp_path / "airflow"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", NAMESPACES, json.dumps(addresses)]
    done = subprocess.run(command, env=variables, check=True, stdout=subprocess.PIPE, text=True)
    namespaces, events = json.loads(done.stdout.splitlines()[-1])

    assert namespaces[:4] == [
        "https://git.example/a.git",
        "ssh://git.example/group/a.git",
        "ssh://git.example:22/a.git",
        "s3://bucket/a?token=***",
    ]
    assert namespaces[4].startswith("file://")
    assert namespaces[4].endswith(str(tmp_path / "plain"))
    assert events == {
        "publish": [[], [["net", "3"]]],
        "promote": [[], [["net", "3"]]],
        "score": [[["net", "3"], ["cox", "1"]], []],
        "gate": [[], []],
    }
