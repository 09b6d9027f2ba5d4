"""What a task of Airflow logs of the command that it runs, and what a person reads last."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from brats_ml.case_lines import case_line, read_case_line

# Airflow writes a configuration file on import, so it gets a process and a home of its own.
PROGRAM = """
import json, logging, sys
from logging.handlers import QueueHandler
from pathlib import Path
from types import SimpleNamespace
from structlog.testing import capture_logs
from airflow.sdk.exceptions import AirflowException
from brats_ml.orchestration.dag.operators import CommandOperator
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.run import Run
from brats_ml.workspace.state import State

folder = Path(sys.argv[1])
last = logging.getLogger("airflow.task")
last.propagate = False

def log_of(script):
    operator = CommandOperator(task_id="task", checkout=str(folder), command=[sys.executable, "-c", script])
    run = Run(Locations(str(folder), State(folder / "state")), "dag", "run")
    context = {"ti": SimpleNamespace(map_index=-1)}
    with capture_logs() as lines:
        last.handlers = [QueueHandler(SimpleNamespace(put_nowait=lambda record: lines.append(
            {"log_level": record.levelname.lower(), "event": record.getMessage()})))]
        try:
            operator.run_command(context, run, operator.command, folder=folder, report=folder / "outcome")
        except AirflowException as error:
            for callback in (*operator.on_failure_callback, *operator.on_retry_callback):
                callback(context | {"exception": error})
    return [
        [line["log_level"], line["event"] % tuple(line.get("positional_args", ())), *filter(None, [line.get("case")])]
        for line in lines
    ]

print(json.dumps([log_of(script) for script in json.loads(sys.argv[2])]))
"""
SUCCESS = """
from brats_ml.case_lines import case_line
from brats_ml.orchestration.runs.outcomes import Outcome, write
print("epoch 1")
print(case_line("BraTS20_001", "half of {it} is empty"))
print('{"case": 1}')
print("WARNING: a true one")
write(Outcome("train: done", links={"MLflow": "http://localhost/run"}))
print("train: done")
print("Updating lock file 'dvc.lock'")
print()
print("\tgit add dvc.lock")
print("Use `dvc push` to send your updates to remote storage.")
"""
FAILURE = """
import sys
from brats_ml.orchestration.runs.outcomes import Outcome, write
write(Outcome("cases is empty: put one in", error="EmptyCohortError"))
print("brats: cases is empty: put one in", file=sys.stderr)
print("ERROR: failed to reproduce", file=sys.stderr)
sys.exit(1)
"""


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder, root = tmp_path_factory.mktemp("tasks"), Path(__file__).parents[2]
    (folder / "brats_ml").symlink_to(root / "brats_ml")
    environment = {**os.environ, "AIRFLOW_HOME": str(folder / "airflow"), "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", PROGRAM, str(folder), json.dumps([SUCCESS, FAILURE])]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_links_and_then_the_sentence_end_the_log_of_a_success(logs: Any) -> None:
    assert logs[0] == [
        ["info", "epoch 1"],
        ["info", "BraTS20_001: half of {it} is empty", "BraTS20_001"],
        ["info", '{"case": 1}'],
        ["info", "WARNING: a true one"],
        ["info", "MLflow: http://localhost/run"],
        ["info", "train: done"],
    ]


def test_a_line_about_a_case_is_plain_without_a_task() -> None:
    assert case_line("BraTS20_001", "it is empty") == "BraTS20_001: it is empty"
    assert read_case_line("BraTS20_001: it is empty") == ("BraTS20_001: it is empty", None)


def test_the_sentence_of_a_failure_is_an_error_and_the_last_line(logs: Any) -> None:
    said = [line for line in logs[1] if not line[1].startswith("::")]

    assert said[0] == ["info", "ERROR: failed to reproduce"]
    assert said[1:] == [["error", "cases is empty: put one in"]] * 2  # without another try, and before one
