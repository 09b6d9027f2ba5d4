"""Measure the overhead of Airflow and DVC in two runs of brats_train: one computes everything, one has nothing to do.

A temporary clone of the last commit runs brats_train twice with params.yaml. Two times are measured for each stage of
the first run:

- own: the command of the stage from start to end, including the interpreter and imports.
- task: from the end of the last task that it waits for to its own end, as Airflow records them. This includes
  scheduling, queueing, starting the task, waiting for a free slot, and DVC's hashing and caching.

The figures:

- `overhead_s_per_task`: median of task minus own over all stages.
- `no_change_s_over_startup`: the whole second run, from its trigger to its end, without starting the servers.
- `worker_parse_s`: the time of a new process to parse the file of brats_train as a worker of Airflow does before each
  task, after the import of Airflow itself, with the graph of DVC kept; the median of five. `worker_parse_unkept_s` is
  the same where nothing is kept, so that the process reads DVC. `worker_whole_s` is the whole process.

`python benchmarks/orchestration.py --parse` measures the last ones alone, in this checkout.
"""

import argparse
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
from _worker_parse import worker_parse

from brats_ml.orchestration.dag.dvc_graph import read_graph
from brats_ml.orchestration.local import servers
from brats_ml.orchestration.local.airflow_access import ADMIN
from brats_ml.orchestration.local.airflow_api import AirflowClient, TaskState

DAG = "brats_train"
CLOCK = """
import json, os, subprocess, sys, time
begun = time.monotonic()
status = subprocess.run([sys.executable, "-m", "brats_ml", *sys.argv[1:]]).returncode
with open(os.environ["BRATS_STATE"] + "/seconds.jsonl", "a") as file:
    file.write(json.dumps([sys.argv[1:], time.monotonic() - begun]) + "\\n")
sys.exit(status)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--parse", action="store_true", help="measure only how long a worker parses")
    if options.parse_args().parse:
        with tempfile.TemporaryDirectory(prefix="brats-benchmark-") as folder:
            report(**worker_parse(ROOT, Path(folder)))
        return
    # A signal must also end the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    with tempfile.TemporaryDirectory(prefix="brats-benchmark-") as folder:
        root = Path(folder).resolve() / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(root)], check=True)
        time_each_command(root)
        os.environ["PYTHONPATH"] = str(root)
        try:
            settings = servers.up(root)
            with AirflowClient(settings.airflow_url, user=ADMIN, password=settings.password) as client:
                tasks, wall_s = run_dag(client)
                unchanged, unchanged_s = run_dag(client)
        finally:
            servers.down(root)
        rows = measure(root, tasks)
        parse = worker_parse(root, root / ".brats/airflow")
    table(rows, title="Stages of the first run")
    skipped = sum(task.state == "skipped" for task in unchanged)
    report(
        overhead_s_per_task=round(statistics.median(row["overhead_s"] for row in rows), 2),
        no_change_s_over_startup=round(unchanged_s, 1),
        **parse,
        own_s_total=round(sum(row["own_s"] for row in rows), 1),
        wall_s=round(wall_s, 1),
        skipped_of_tasks=f"{skipped}/{len(unchanged)}",
    )


def time_each_command(root: Path) -> None:
    (root / "clock.py").write_text(CLOCK)
    pipeline = root / "dvc.yaml"
    pipeline.write_text(pipeline.read_text().replace("cmd: python -m brats_ml ", "cmd: python clock.py "))
    identity = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost"]
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", *identity, "commit", "-q", "-m", "Time each command"], cwd=root, check=True)


def run_dag(client: AirflowClient) -> tuple[list[TaskState], float]:
    while client.parsed_at(DAG) is None:
        time.sleep(1)
    begun = time.monotonic()
    run_id = client.trigger(DAG, {})
    while (state := client.run_state(DAG, run_id)) in ("queued", "running"):
        time.sleep(0.5)
    wall_s = time.monotonic() - begun
    tasks = client.tasks(DAG, run_id)
    if state != "success":
        sys.exit(f"{DAG} ended as {state}: {', '.join(task.task_id for task in tasks if task.state == 'failed')}")
    return tasks, wall_s


def measure(root: Path, tasks: list[TaskState]) -> list[dict[str, Any]]:
    own = [json.loads(line) for line in (root / ".brats/seconds.jsonl").read_text().splitlines()]
    # Only the first run counts; the second ran the stages that always run again.
    own_s: dict[str, float] = {}
    for arguments, seconds in own:
        own_s.setdefault("@".join(arguments[:1] + arguments[2:]), seconds)
    ended = {task.task_id.replace(".", "@"): task.ended for task in tasks}
    graph = read_graph(root)
    rows = []
    for address in sorted(graph, key=lambda address: ended[address]):
        ready: datetime = max(ended[needed] for needed in graph[address].needs or ["open"])
        task_s = (ended[address] - ready).total_seconds()
        own_part = own_s[address]
        rows.append({"stage": address, "own_s": own_part, "task_s": task_s, "overhead_s": task_s - own_part})
    return rows


if __name__ == "__main__":
    main()
