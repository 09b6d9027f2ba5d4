"""Runs the whole pipeline under the local scheduler and shows its progress and results."""

import csv
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from brats_ml.errors import ServiceError
from brats_ml.orchestration.local import servers
from brats_ml.orchestration.local.airflow_access import ADMIN
from brats_ml.orchestration.local.airflow_api import FINISHED, AirflowClient, TaskState
from brats_ml.orchestration.local.mlflow_access import READER, training_runs
from brats_ml.orchestration.local.settings import Settings, local_state
from brats_ml.orchestration.runs import retention
from brats_ml.workspace import Workspace

POLL_S = 2.0
PARSE_S = 120.0
LOG_LINES = 25
COLOURS = {"success": "green", "failed": "red", "upstream_failed": "red", "running": "yellow", "up_for_retry": "yellow"}
DAGS = ("brats_train", "brats_score")
REGISTERED = ("brats-segmentation", "brats-survival")


def run(root: Path) -> None:
    """Run brats_train and then brats_score under the local Airflow, and print the results.

    Servers that ran before keep running; others are ended.

    Raises:
        ServiceError: A task failed; the last lines of its log are printed.
    """
    console = Console()
    ran_before = servers.running(root)
    # By default Python ends at once on this signal and leaves the servers running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("brats: ended by a signal"))
    try:
        settings = servers.up(root)
        subprocess.run([sys.executable, "-m", "brats_ml", "inbox", "--root", str(root)], check=True)
        client = AirflowClient(settings.airflow_url, user=ADMIN, password=settings.password)
        finished = {}
        for dag_id in DAGS:
            _await_parsed(client, root, dag_id)
            if not ran_before:
                # An interrupted demo leaves its run behind, which would compete with the new one.
                client.give_up(dag_id)
        finished["brats_train"] = _watched(client, "brats_train", client.trigger("brats_train", {}), console)
        promoted = {task.task_id: task.state for task in finished["brats_train"]}["promote"] == "success"
        # New champions start brats_score by themselves.
        scoring = _await_started(client, "brats_score") if promoted else client.trigger("brats_score", {})
        finished["brats_score"] = _watched(client, "brats_score", scoring, console)
        retention.fetch(root, None)
        console.print(_outcome(root, settings, finished, left_running=ran_before), crop=False)
    finally:
        if not ran_before:
            servers.down(root)


def _await_parsed(client: AirflowClient, root: Path, dag_id: str) -> None:
    """Wait until Airflow has parsed the DAG since the last change of its file, dvc.yaml and params.yaml."""
    files = [root / f"dags/{dag_id}.py", Workspace(root).dvc_yaml, Workspace(root).params]
    changed = datetime.fromtimestamp(max(file.stat().st_mtime for file in files), tz=UTC)
    deadline = time.monotonic() + PARSE_S
    while (parsed := client.parsed_at(dag_id)) is None or parsed < changed:
        if time.monotonic() > deadline:
            raise ServiceError(f"Airflow has not parsed the DAG {dag_id}; see {local_state(root).log('dag-processor')}")
        time.sleep(POLL_S)


def _await_started(client: AirflowClient, dag_id: str) -> str:
    """Wait for a run that an asset starts and return its id; start one after a while."""
    deadline = time.monotonic() + PARSE_S
    while not (found := client.unfinished(dag_id)):
        if time.monotonic() > deadline:
            return client.trigger(dag_id, {})
        time.sleep(POLL_S)
    return found[-1]


def _watched(client: AirflowClient, dag_id: str, run_id: str, console: Console) -> list[TaskState]:
    tasks = _watch(client, dag_id, run_id, console)
    failed = [task for task in tasks if task.state == "failed"]
    for task in failed:
        console.rule(f"{dag_id}: the log of {task.task_id} ends with")
        log = client.log(dag_id, run_id, task)
        console.print("\n".join(log[-LOG_LINES:]), markup=False, highlight=False, soft_wrap=True)
    if client.run_state(dag_id, run_id) != "success":
        raise ServiceError(f"{dag_id} failed in {', '.join(task.task_id for task in failed) or 'no task of its own'}")
    return tasks


def _watch(client: AirflowClient, dag_id: str, run_id: str, console: Console) -> list[TaskState]:
    """Show the run until it ends: a table on a terminal, otherwise a line for each task that ends."""
    printed: set[tuple[str, int]] = set()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            state = client.run_state(dag_id, run_id)
            tasks = [task for task in client.tasks(dag_id, run_id) if not task.left_out]
            if console.is_terminal:
                live.update(_progress(dag_id, tasks), refresh=True)
            for task in tasks:
                if task.state in FINISHED and (task.task_id, task.index) not in printed and not console.is_terminal:
                    console.print(f"{dag_id}: {task.task_id} {task.state} {_seconds(task)}", highlight=False)
                    printed.add((task.task_id, task.index))
            if state in ("success", "failed"):
                return tasks
            time.sleep(POLL_S)


def _progress(dag_id: str, tasks: list[TaskState]) -> Table:
    table = Table("task", "state", "seconds", title=dag_id)
    table.columns[2].justify = "right"
    for task in tasks:
        colour = COLOURS.get(task.state, "dim")
        table.add_row(task.task_id, f"[{colour}]{task.state}[/]", _seconds(task))
    return table


def _seconds(task: TaskState) -> str:
    return "" if task.seconds is None else f"{task.seconds:.0f} s"


def _outcome(root: Path, settings: Settings, finished: dict[str, list[TaskState]], *, left_running: bool) -> Group:
    ws = Workspace(root)
    runs = training_runs(settings.mlflow_url, settings.mlflow_passwords)
    start = "" if left_running else "`make up` starts both servers with this run, "
    addresses = {
        "report": ws.name(ws.reports.page),
        "data quality": ws.name(ws.validation.page),
        "predictions": f"{ws.name(ws.predictions())}/",
        "Airflow": f"{settings.airflow_url}  as {ADMIN} with {settings.password}",
        "MLflow": f"{runs}  as {READER} with {settings.mlflow_passwords[READER]}",
        "next": f"{start}`make down` ends both servers",
    }
    return Group(
        *(_progress(dag_id, tasks) for dag_id, tasks in finished.items()),
        *_leaderboard(ws.reports.leaderboard.path),
        _champions(settings),
        # An address that is folded or cut cannot be opened.
        Text("\n".join(f"{title:<13}{value}" for title, value in addresses.items()), no_wrap=True, overflow="ignore"),
    )


def _leaderboard(path: Path) -> Iterator[Table]:
    """Yield a table for each measure, in the order of the file: the best model first."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for (kind, measure), group in groupby(rows, key=itemgetter("kind", "measure")):
        table = Table("model", "score", "95 % interval", "n", "verdict", title=f"{kind}: {measure}")
        for row in group:
            interval = f"{row['low']} to {row['high']}" if row["low"] else ""
            table.add_row(row["name"], row["score"], interval, row["count"], row["verdict"])
        yield table


def _champions(settings: Settings) -> Table:
    table = Table("model", "champion", title="registry")
    for name in REGISTERED:
        table.add_row(name, _champion(settings, name))
    return table


def _champion(settings: Settings, name: str) -> str:
    answer = httpx.get(
        f"{settings.mlflow_url}/api/2.0/mlflow/registered-models/alias",
        params={"name": name, "alias": "champion"},
        auth=(READER, settings.mlflow_passwords[READER]),
        trust_env=False,
    )
    if answer.is_success:
        version: dict[str, Any] = answer.json()["model_version"]
        return f"version {version['version']}"
    return "none yet"
