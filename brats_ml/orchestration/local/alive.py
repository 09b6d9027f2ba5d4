"""Which local servers of a checkout run, and what their Airflow knows of its runs."""

from collections.abc import Collection
from pathlib import Path

import psutil

from brats_ml import environment
from brats_ml.errors import ServiceError
from brats_ml.orchestration.local.airflow_access import ADMIN
from brats_ml.orchestration.local.airflow_api import AirflowClient
from brats_ml.orchestration.local.mlflow_access import training_runs
from brats_ml.orchestration.local.settings import Settings, recall

# A page of status waits no longer than this for a server.
ANSWER_S = 3.0


def alive(root: Path) -> tuple[Settings, dict[str, int]] | None:
    """Return the recorded settings and the process id of each running server of `root`; None if none runs."""
    recorded = recall(root)
    if recorded is None:
        return None
    settings, processes = recorded
    running = {name: pid for name, pid in processes.items() if belongs_to(pid, root)}
    return (settings, running) if running else None


def belongs_to(pid: int, root: Path) -> bool:
    """Return whether a process is a server of `root`."""
    try:
        return bool(psutil.Process(pid).environ().get(environment.SERVERS.name) == str(root))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def pages(settings: Settings, running: Collection[str]) -> dict[str, str]:
    """Return the address of the page of each running server that has one."""
    found = {"api-server": settings.airflow_url} if "api-server" in running else {}
    if "mlflow" in running:
        found["mlflow"] = training_runs(settings.mlflow_url, settings.mlflow_passwords, timeout_s=ANSWER_S)
    return found


def run_states(settings: Settings) -> dict[tuple[str, str], str]:
    """Return the state of each recent run by DAG and run id, as Airflow knows it; empty if it does not answer.

    A run that waits for a person is `awaiting approval`.
    """
    client = AirflowClient(settings.airflow_url, user=ADMIN, password=settings.password, timeout_s=ANSWER_S)
    with client:
        try:
            states = client.recent_runs()
            for dag_id, run_id in [run for run, state in states.items() if state == "running"]:
                if any(task.state == "awaiting_input" for task in client.tasks(dag_id, run_id)):
                    states[dag_id, run_id] = "awaiting approval"
        except ServiceError:
            return {}
    return states
