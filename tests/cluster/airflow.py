"""Airflow's API on a cluster whose servers restart: a call that gets no answer is sent again for a while."""

import time
from typing import Any

import psutil

from brats_ml.environment import TASK
from brats_ml.errors import ServiceError
from brats_ml.orchestration.local.airflow_access import ADMIN
from brats_ml.orchestration.local.airflow_api import FINISHED
from tests.access import AccountClient
from tests.cluster.settings import Cluster

TRAIN, SCORE = "brats_train", "brats_score"
ANSWER_S = 240.0
ENDED = ("success", "failed")


class Airflow(AccountClient):
    """The API of a cluster."""

    def __init__(self, cluster: Cluster, *, account: str = ADMIN) -> None:
        super().__init__(cluster.url("airflow"), user=account, password=cluster.password("airflow", account))

    def _call(self, method: str, path: str, **options: Any) -> Any:
        deadline = time.monotonic() + ANSWER_S
        while True:
            try:
                return super()._call(method, path, **options)
            except ServiceError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)

    def states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the state of each task that the form does not leave out."""
        return {task.task_id: task.state for task in self.tasks(dag_id, run_id) if not task.left_out}

    def tries(self, dag_id: str, run_id: str) -> dict[str, int]:
        return {task.task_id: task.tries for task in self.tasks(dag_id, run_id)}

    def wait_running(self, run_id: str, task_id: str) -> None:
        """Wait until a task of brats_train runs."""
        state = self.wait_begun(run_id, task_id)
        assert state == "running", f"{task_id} ended before it was seen: {state}"

    def wait_begun(self, run_id: str, task_id: str, *, limit_s: float = 900) -> str:
        """Wait until a task of brats_train runs or has ended, and return its state."""
        deadline = time.monotonic() + limit_s
        while (state := (states := self.states(TRAIN, run_id)).get(task_id)) not in ("running", *FINISHED):
            assert time.monotonic() < deadline, f"{task_id} does not run: {states}"
            time.sleep(0.3)
        return str(state)

    def finish(self, dag_id: str, run_id: str, *, limit_s: float = 1800) -> str:
        """Wait for the end of a run and return its state."""
        deadline = time.monotonic() + limit_s
        while (state := self.run_state(dag_id, run_id)) not in ENDED:
            assert time.monotonic() < deadline, f"{dag_id} hangs at {self.states(dag_id, run_id)}"
            time.sleep(1)
        return state

    def last_run(self, dag_id: str) -> str:
        """Return the id of the last run, which an asset may have started; wait for the first."""
        deadline = time.monotonic() + ANSWER_S
        while not (found := self.runs(dag_id)):
            assert time.monotonic() < deadline, f"{dag_id} was not started"
            time.sleep(1)
        return found[-1]

    def text(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> str:
        """Return the log of a try of a task."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        content = self._call("GET", path, params={"full_content": True})["content"]
        return "\n".join(message["event"] for message in content)


def task_processes(cluster: Cluster) -> list[psutil.Process]:
    """Return every process that a task of the cluster has started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(TASK.name, "").startswith(f"{cluster.state}/"):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
