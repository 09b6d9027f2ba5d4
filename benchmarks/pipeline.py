"""Seconds of each stage of the demo under Airflow, and what Airflow and DVC add to them.

A scratch clone of the last commit runs brats_train on params.yaml as it stands. Of each stage two times are taken:

- own: the stage's command from start to end, interpreter and imports included, by a clock around the command itself;
- task: from the moment when the last task it waits for has ended to its own end, as Airflow records them. That counts
  scheduling, queueing, the start of the task, DVC's hashing and caching, and the wait for a free slot.

`overhead_s_per_task` is the median of task minus own over all stages. The servers' start is left out.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from _frame import ROOT, report, table
from dvc.repo import Repo

from brats_ml.orchestration import servers
from brats_ml.orchestration.airflow_api import AirflowClient, TaskState
from brats_ml.orchestration.settings import USER

DAG = "brats_train"
TIMED = """
import json, subprocess, sys, time
begun = time.monotonic()
status = subprocess.run([sys.executable, "-m", "brats_ml", *sys.argv[1:]]).returncode
with open(".brats/seconds.jsonl", "a") as file:
    file.write(json.dumps([sys.argv[1:], time.monotonic() - begun]) + "\\n")
sys.exit(status)
"""


def main() -> None:
    # A benchmark that is ended by a signal ends its servers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    with tempfile.TemporaryDirectory(prefix="brats-benchmark-") as folder:
        root = Path(folder).resolve() / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(root)], check=True)
        put_a_clock_around_each_command(root)
        os.environ["PYTHONPATH"] = str(root)
        try:
            settings = servers.up(root)
            client = AirflowClient(settings.airflow_url, user=USER, password=settings.password)
            begun = time.monotonic()
            tasks = run_to_the_end(client)
            wall_s = time.monotonic() - begun
        finally:
            servers.down(root)
        rows = measure(root, tasks)
    table(rows, title="stages of the demo")
    report(
        overhead_s_per_task=round(statistics.median(row["overhead_s"] for row in rows), 2),
        own_s_total=round(sum(row["own_s"] for row in rows), 1),
        wall_s=round(wall_s, 1),
        tasks=len(rows),
    )


def put_a_clock_around_each_command(root: Path) -> None:
    (root / ".brats").mkdir()
    clock = root / ".brats/timed.py"
    clock.write_text(TIMED)
    pipeline = root / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().replace("cmd: python -m brats_ml ", "cmd: python .brats/timed.py "))


def run_to_the_end(client: AirflowClient) -> list[TaskState]:
    while client.parsed_at(DAG) is None:
        time.sleep(1)
    run_id = client.trigger(DAG, {})
    while (state := client.run_state(DAG, run_id)) in ("queued", "running"):
        time.sleep(2)
    tasks = client.tasks(DAG, run_id)
    if state != "success":
        sys.exit(f"{DAG} ended as {state}: {', '.join(task.task_id for task in tasks if task.state == 'failed')}")
    return tasks


def measure(root: Path, tasks: list[TaskState]) -> list[dict[str, Any]]:
    own = [json.loads(line) for line in (root / ".brats/seconds.jsonl").read_text().splitlines()]
    own_s = {"@".join(arguments[:1] + arguments[2:]): seconds for arguments, seconds in own}
    ended = {task.task_id.replace(".", "@"): task.ended for task in tasks}
    graph = Repo(str(root)).index.graph
    rows = []
    for stage in sorted(graph, key=lambda stage: ended[stage.name]):
        name = stage.name
        waited_for = [needed.name for needed in graph.successors(stage)] or ["configure"]
        ready: datetime = max(ended[needed] for needed in waited_for)
        task_s = (ended[name] - ready).total_seconds()
        rows.append({"stage": name, "own_s": own_s[name], "task_s": task_s, "overhead_s": task_s - own_s[name]})
    return rows


if __name__ == "__main__":
    main()
