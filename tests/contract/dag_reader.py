"""Read DAG files and DVC's graphs as JSON, each in a separate process.

The process is separate because Airflow writes a configuration file on import, and DVC a lock file.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
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
    "run types": sorted(dag.allowed_run_types or []),
    "failure": getattr(dag.on_failure_callback, "event", None),
    "questions": {task.task_id: [one.event for one in task.notifiers]
                  for task in dag.tasks if hasattr(task, "notifiers")},
    "form": {name: {"description": dag.params.get_param(name).description, **dag.params.get_param(name).schema}
             for name in dag.params},
    "tasks": {task.task_id: {
        "owner": task.owner, "doc": task.doc_md, "pool": task.pool, "queue": task.queue, "retries": task.retries,
        "minutes": task.execution_timeout and task.execution_timeout.total_seconds() / 60,
        "priority": task.priority_weight, "rule": task.trigger_rule.value,
        "upstream": sorted(task.upstream_task_ids), "address": getattr(task, "address", None),
        "group": task.task_group.group_id if task.task_group else None,
        "command": None if task.is_mapped else getattr(task, "command", None),
        "name": task.partial_kwargs.get("map_index_template") if task.is_mapped else None,
        "outlets": [asset.name for asset in task.outlets],
        "links": sorted(link.name for link in task.operator_extra_links),
    } for task in dag.tasks},
}, default=str))
"""
SERIALIZED = """
import runpy, sys
from airflow.sdk import DAG
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.serialized_objects import DagSerialization
import json
dag = next(value for value in runpy.run_path(sys.argv[1]).values() if isinstance(value, DAG))
print(json.dumps(SerializedDagModel.hash(DagSerialization.to_dict(dag))))
"""
INDEX = """
import json, os, sys
from dvc.repo import Repo
os.chdir(sys.argv[1])
graph = Repo().index.graph
print(json.dumps({stage.addressing: {
    "upstream": sorted(needed.addressing for needed in graph.successors(stage)),
    **(stage.meta or {}).get("airflow", {}),
} for stage in graph}))
"""

SHARDS = """
import json
from brats_ml.orchestration.dag.scoring import label_of, total
print(json.dumps({
    "names": [label_of(["a"]), label_of(["a", "b"]), label_of(["a", "b", "c"])],
    "total": total([
        {"scored": 2, "refused": 1, "models": {"segmentation": "s v1"}},
        {"scored": 1, "kept": 4, "models": {"segmentation": "s v1"}},
        {},
    ]),
}))
"""
ASKED = """
import itertools, json, os, pathlib
from dataclasses import asdict
from brats_ml import files
from brats_ml.errors import ModelError
from brats_ml.orchestration.dag.approval import APPROVE, answer_to, require_approval, why_unasked
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.run import Run
from brats_ml.workspace.state import State

run = Run(Locations("", State(pathlib.Path(os.environ["AIRFLOW_HOME"]) / "answers")), "dag", "run")

def passes(answer):
    if answer:
        files.write_json(run.record.outcome(APPROVE), asdict(answer))
    try:
        require_approval(run, {"models": ["new"]})
    except ModelError as error:
        return str(error)
    return "passes"

def answer(option, person, models=("new",)):
    event = {"chosen_options": [option], "responded_by_user": person and {"id": "1", "name": person}}
    return passes(answer_to({"models": list(models)}, event))

asked = [
    [*given, why_unasked({"promote": given[0], "approval": given[1]}, form_asks=given[2], weaker=given[3]) is None]
    for given in itertools.product((False, True), repeat=4)
]
print(json.dumps({"asked": asked, "answers": {
    "none": passes(None), "yes": answer("Approve", "anna"), "no": answer("Reject", "anna"),
    "in time": answer("Reject", None), "nobody": answer("Approve", None), "other": answer("Approve", "anna", ["old"]),
}}))
"""


def run(script: str, argument: Path, *, home: Path, **variables: str) -> Any:
    """Run a script and return the JSON of its last line."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "BRATS_STATE": str(home / "state"),
        "PYTHONPATH": str(ROOT),
    } | variables
    done = subprocess.run(
        [sys.executable, "-c", script, str(argument)], env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])
