"""Control the Airflow of a checkout as a user does, and kill parts of its runs."""

import json
import time
from collections.abc import Callable
from typing import Any

import psutil

from brats_ml.environment import HOLDER, TASK
from brats_ml.orchestration.local.airflow_access import ACCOUNTS, ADMIN
from brats_ml.orchestration.local.airflow_api import TaskState
from brats_ml.orchestration.local.passwords import ensure_passwords
from brats_ml.orchestration.local.settings import recall
from tests.access import AccountClient
from tests.e2e.checkout import Checkout

ANSWER_DELAY_S = 5.0


class Airflow(AccountClient):
    """The API of the servers that run for a checkout."""

    def __init__(self, checkout: Checkout, *, account: str = ADMIN, password: str | None = None) -> None:
        found = recall(checkout.root)
        assert found is not None, "no servers were started"
        self.checkout = checkout
        kept = ensure_passwords(found[0].state.airflow.passwords, *ACCOUNTS)
        super().__init__(found[0].airflow_url, user=account, password=password or kept[account])

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        return {task.task_id: task.state for task in self.tasks(dag_id, run_id)}

    def wait(self, dag_id: str, run_id: str, *, until: Callable[[dict[str, str]], bool], limit_s: float = 400) -> None:
        """Wait until the states of the run's tasks fulfil a condition or the run has ended."""
        deadline = time.monotonic() + limit_s
        while not until(states := self.states(dag_id, run_id)):
            if self.run_state(dag_id, run_id) in ("success", "failed"):
                return
            assert time.monotonic() < deadline, f"{dag_id} is still at {states}"
            time.sleep(0.5)

    def finish(self, dag_id: str, run_id: str, *, limit_s: float = 400) -> dict[str, str]:
        """Wait for the end of a run and return the states of its tasks."""
        self.wait(dag_id, run_id, until=lambda _: False, limit_s=limit_s)
        return self.states(dag_id, run_id)

    def task(self, dag_id: str, run_id: str, task_id: str) -> TaskState:
        return next(task for task in self.tasks(dag_id, run_id) if task.task_id == task_id)

    def last_log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """Return the log of the last try of a task."""
        return "\n".join(self.log(dag_id, run_id, self.task(dag_id, run_id, task_id)))

    def read_log(self, dag_id: str, run_id: str, task_id: str) -> list[tuple[str, str]]:
        """Return level and text of each line that a person sees in the log of the last try; groups are folded."""
        task = self.task(dag_id, run_id, task_id)
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{max(task.tries, 1)}"
        seen, folded = [], False
        for message in self._call("GET", path, params={"full_content": True})["content"]:
            if message["event"].startswith(("::group::", "::endgroup::")):
                folded = message["event"].startswith("::group::")
            elif not folded:
                seen.append((str(message.get("level")), message["event"]))
        return seen

    def events(self, asset: str) -> list[dict[str, Any]]:
        """Return what the events of an asset say, the last event first."""
        found = self._call("GET", "/assets/events", params={"name_pattern": asset, "order_by": "-timestamp"})
        return [event["extra"] for event in found["asset_events"] if event["name"] == asset]

    def shards(self, dag_id: str, run_id: str, task_id: str) -> list[str]:
        """Return the names of the tasks that a task was divided into."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/listMapped"
        return [row["rendered_map_index"] for row in self._call("GET", path)["task_instances"]]

    def link(self, dag_id: str, run_id: str, task_id: str, name: str) -> str | None:
        """Return the address of a link on the page of a task."""
        links = self._call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links")["extra_links"]
        address: str | None = links[name]
        return address

    def results(self, dag_id: str, run_id: str) -> str:
        """Return the tab Results of a run's page."""
        return self._http.get(f"/brats/dags/{dag_id}/runs/{run_id}").raise_for_status().text

    def question(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        """Return the question of a task that waits for a person."""
        question: dict[str, Any] = self._call(
            "GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        )
        return question

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str) -> None:
        """Answer the question of a task after a delay.

        Airflow 3.3 mishandles an answer within a second of the question: it takes the end of the asking process for
        the end of the answered task, so the task fails and asks again (apache/airflow#71579).
        """
        time.sleep(ANSWER_DELAY_S)
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        self._call("PATCH", path, json={"chosen_options": [option]})

    def clear(self, dag_id: str, run_id: str, *task_ids: str) -> None:
        """Clear tasks like the button "Clear"."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": task_ids, "only_failed": False}
        self._call("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)


def processes_of(checkout: Checkout, task_id: str) -> list[psutil.Process]:
    """Return the processes of a task in any run of the checkout, by process id: DVC first, then the stage."""
    found = []
    for process in psutil.process_iter():
        try:
            mark = process.environ().get(TASK.name, "")
            if mark.startswith(f"{checkout.root}/") and mark.endswith(f"/{task_id}"):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return sorted(found, key=lambda process: process.pid)


def kill(checkout: Checkout, what: str, task_id: str, *, limit_s: float = 200) -> int:
    """Wait until a task runs, kill one of its processes, and return the process id.

    Args:
        checkout: The checkout of the servers.
        what: The process: `stage` (the command of dvc.yaml), `dvc`, `task` (the process of Airflow) or `scheduler`.
        task_id: The id of the task.
        limit_s: The longest time to wait.
    """
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        victim = _victim(checkout, what, task_id)
        if victim is not None:
            victim.kill()
            return int(victim.pid)
        time.sleep(0.02)
    raise AssertionError(f"{task_id} had no {what} to kill within {limit_s} s")


def _victim(checkout: Checkout, what: str, task_id: str) -> psutil.Process | None:
    processes = processes_of(checkout, task_id)
    try:
        stages = [
            process for process in processes if "brats_ml" in process.cmdline() and "dvc" not in process.cmdline()
        ]
        if not stages:
            return None
        if what == "stage":
            return stages[-1]
        if what == "dvc":
            return next((process for process in processes if "dvc" in process.cmdline()), None)
        if what == "task":
            return psutil.Process(int(stages[-1].environ()[HOLDER.name].partition(":")[0]))
        servers = json.loads((checkout.root / ".brats/servers.json").read_text())["processes"]
        return psutil.Process(servers["scheduler"])
    except psutil.NoSuchProcess:
        return None  # it has just ended
