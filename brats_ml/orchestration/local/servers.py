"""The local servers of a checkout: MLflow and Airflow's four parts, started, watched and ended together."""

import sys
import time
from pathlib import Path

import httpx
import psutil
from filelock import FileLock
from rich.console import Console

from brats_ml.errors import ServiceError
from brats_ml.orchestration.dag.graph import read_graph
from brats_ml.orchestration.local.airflow_api import AirflowClient
from brats_ml.orchestration.local.settings import USER, Settings, choose, local_state, recall, save
from brats_ml.orchestration.runs.processes import MARK, end_marked, start_marked

START_S = 240.0
POLL_S = 1.0
POOLS = {"gpu": "training and prediction, one at a time a GPU", "cpu": "all other stages"}


def up(root: Path) -> Settings:
    """Start what is not running of MLflow and Airflow's four parts, and wait until all of them answer.

    Safe to repeat, and after the crash of one part starts just that part. Ports are 8080 and 5000, free ones where
    those are taken, or `BRATS_AIRFLOW_PORT` and `BRATS_MLFLOW_PORT`.

    Raises:
        ServiceError: A part ended or did not answer in time; everything is ended again, the sentence names its log.
    """
    console = Console(stderr=True)
    state = local_state(root)
    state.logs.mkdir(parents=True, exist_ok=True)
    with FileLock(state.servers_lock):
        settings, processes = _alive(root)
        missing = [name for name in settings.commands() if name not in processes]
        try:
            _start(settings, missing, processes, console)
            _wait(settings, processes, set(missing), console)
        except BaseException:
            end_marked(root)
            raise
        client = AirflowClient(settings.airflow_url, user=USER, password=settings.password)
        named = {node.policy.pool for node in read_graph(root).values()} - {"default_pool"}
        for name in sorted(named | POOLS.keys()):
            client.set_pool(name, settings.slots(name), POOLS.get(name, "named in dvc.yaml"))
    print(f"Airflow  {settings.airflow_url}  log in as {USER} with {settings.password}")
    print(f"MLflow   {settings.mlflow_url}")
    return settings


def down(root: Path) -> None:
    """End every server of `root` and every process that they started; safe to repeat."""
    state = local_state(root)
    state.path.mkdir(exist_ok=True)
    with FileLock(state.servers_lock):
        ended = end_marked(root)
    print(f"{ended} process(es) ended" if ended else "nothing was running")


def running(root: Path) -> bool:
    """Return whether any server of `root` runs."""
    return bool(_alive(root)[1])


def _alive(root: Path) -> tuple[Settings, dict[str, int]]:
    """Return the recorded settings and the servers that still run; fresh settings where none does."""
    recorded = recall(root)
    if recorded is not None:
        settings, processes = recorded
        alive = {name: pid for name, pid in processes.items() if _is_ours(pid, root)}
        if alive:
            return settings, alive
    return choose(root), {}


def _is_ours(pid: int, root: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(process.environ().get(MARK) == str(root))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _start(settings: Settings, missing: list[str], processes: dict[str, int], console: Console) -> None:
    environment = settings.environment()
    if not processes:
        with console.status("Airflow: preparing its database"):
            # Brings the database to the installed version; the first time it makes airflow.cfg with its secrets too.
            migrate = [sys.executable, "-m", "airflow", "db", "migrate"]
            log = settings.state.log("migrate")
            if start_marked(migrate, root=settings.root, environment=environment, log=log).wait():
                raise ServiceError(f"Airflow's database could not be prepared: {_tail(log)} (all of it in {log})")
    for name in missing:
        command = settings.commands()[name]
        child = start_marked(command, root=settings.root, environment=environment, log=settings.state.log(name))
        processes[name] = child.pid
        save(settings, processes)


def _wait(settings: Settings, processes: dict[str, int], started: set[str], console: Console) -> None:
    begun = time.monotonic()
    waiting = set(processes)
    with console.status("") as status:
        while waiting:
            status.update(f"starting {', '.join(sorted(waiting))}")
            healthy = _healthy(settings) & waiting
            for name in sorted(healthy & started):
                console.print(f"{name}: ready after {time.monotonic() - begun:.0f} s")
            waiting -= healthy
            for name in sorted(waiting):
                log = settings.state.log(name)
                if not _is_ours(processes[name], settings.root):
                    raise ServiceError(f"{name} did not start: {_tail(log)} (all of it in {log})")
                if time.monotonic() - begun > START_S:
                    raise ServiceError(f"{name} did not answer within {START_S:.0f} s; its log is {log}")
            time.sleep(POLL_S if waiting else 0)


def _healthy(settings: Settings) -> set[str]:
    parts = AirflowClient(settings.airflow_url, user=USER, password=settings.password).health()
    healthy = {name for name in ("scheduler", "triggerer", "dag-processor") if parts.get(name.replace("-", "_"))}
    if parts:
        healthy.add("api-server")
    try:
        if httpx.get(f"{settings.mlflow_url}/health", trust_env=False).is_success:
            healthy.add("mlflow")
    except httpx.TransportError:
        pass  # not listening yet
    return healthy


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it left no message")
