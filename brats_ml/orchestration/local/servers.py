"""Starts, checks and ends the local servers of a checkout: MLflow and the four parts of Airflow."""

import subprocess
import sys
import time
from pathlib import Path

import httpx
from rich.console import Console

from brats_ml import environment, locks, privacy
from brats_ml.errors import ServiceError
from brats_ml.orchestration.dag.kept import kept_graph
from brats_ml.orchestration.local.airflow_access import ADMIN, APPROVER, OPERATOR, VIEWER
from brats_ml.orchestration.local.airflow_api import AirflowClient
from brats_ml.orchestration.local.alive import alive, belongs_to
from brats_ml.orchestration.local.mlflow_access import READER, WRITER, make_experiment, make_reader, training_runs
from brats_ml.orchestration.local.settings import Settings, choose, local_state, save
from brats_ml.orchestration.runs.processes import end_marked, start_marked
from brats_ml.workspace import Workspace

HOLDER = "another `brats up` or `brats down`"
START_S = 240.0
POLL_S = 1.0
POOLS = {"gpu": "training and prediction, one task per GPU", "cpu": "all other stages"}


def up(root: Path) -> Settings:
    """Start each server that is not running, and wait until all of them answer.

    A second call changes nothing; after a crash of one server it starts that server alone. `settings.choose` chooses
    the ports.

    Raises:
        ServiceError: A server ended or did not answer in time, and all of them were ended; the sentence names its log.
    """
    console = Console(stderr=True)
    privacy.restrict(Workspace(root).private)
    with locks.exclusive(local_state(root).servers_lock, holder=HOLDER):
        settings, processes = _alive(root)
        missing = [name for name in settings.commands() if name not in processes]
        try:
            _start(settings, missing, processes, console)
            _wait(settings, processes, set(missing), console)
        except BaseException:  # also after Ctrl-C no server may stay behind
            end_marked(root)
            raise
        make_reader(settings.mlflow_url, settings.mlflow_passwords, kept_in=settings.state.mlflow.passwords)
        make_experiment(settings.mlflow_url, settings.mlflow_passwords)
        client = AirflowClient(settings.airflow_url, user=ADMIN, password=settings.password)
        named = {node.policy.pool for node in kept_graph(root).values()} - {"default_pool"}
        for name in sorted(named | POOLS.keys()):
            client.set_pool(name, settings.slots(name), POOLS.get(name, "named in dvc.yaml"))
    print(f"Airflow  {settings.airflow_url}  log in as {ADMIN} with {settings.password}")
    print(f"         the passwords of {VIEWER}, {OPERATOR} and {APPROVER} are in {settings.state.airflow.passwords}")
    runs = training_runs(settings.mlflow_url, settings.mlflow_passwords)
    print(f"MLflow   {runs}  log in as {READER} with {settings.mlflow_passwords[READER]}")
    print(f"         the password of {WRITER}, who may change models, is in {settings.state.mlflow.passwords}")
    return settings


def down(root: Path) -> None:
    """End every server of `root` and every process that they started; a second call changes nothing."""
    with locks.exclusive(local_state(root).servers_lock, holder=HOLDER):
        ended = end_marked(root)
        local_state(root).servers.unlink(missing_ok=True)
    print(f"{ended} process(es) ended" if ended else "no server was running")


def accounts(root: Path, *options: str) -> None:
    """Run `brats accounts` with the settings of the local servers.

    Args:
        root: The checkout.
        options: The arguments of the command.

    Raises:
        ServiceError: It failed; it has printed why.
    """
    settings, _ = _alive(root)
    command = [sys.executable, "-m", "brats_ml", "accounts", *options]
    variables = {**settings.environment(), environment.SERVERS.name: str(root)}
    if subprocess.run(command, cwd=root, env=environment.for_child(variables), check=False).returncode:
        raise ServiceError("the accounts are not complete: see the line above")


def running(root: Path) -> bool:
    """Return whether any server of `root` runs."""
    return alive(root) is not None


def _alive(root: Path) -> tuple[Settings, dict[str, int]]:
    """Return the recorded settings and the running servers; new settings if no server runs."""
    return alive(root) or (choose(root), {})


def _start(settings: Settings, missing: list[str], processes: dict[str, int], console: Console) -> None:
    variables = settings.environment()
    if not processes:
        with console.status("Airflow prepares its database"):
            # It upgrades the database to the installed version; the first time it also writes airflow.cfg with secrets.
            prepare = [sys.executable, "-m", "brats_ml", "accounts", "airflow", "--migrate"]
            log = settings.state.log("migrate")
            if start_marked(prepare, root=settings.root, variables=variables, log=log).wait():
                raise ServiceError(f"Airflow's database could not be prepared: {_tail(log)} (see {log})")
    for name in missing:
        command = settings.commands()[name]
        child = start_marked(command, root=settings.root, variables=variables, log=settings.state.log(name))
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
                if not belongs_to(processes[name], settings.root):
                    raise ServiceError(f"{name} did not start: {_tail(log)} (see {log})")
                if time.monotonic() - begun > START_S:
                    raise ServiceError(f"{name} did not answer within {START_S:.0f} s: see {log}")
            time.sleep(POLL_S if waiting else 0)


def _healthy(settings: Settings) -> set[str]:
    parts = AirflowClient(settings.airflow_url, user=ADMIN, password=settings.password).health()
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
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed no message")
