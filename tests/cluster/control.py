"""Starts a cluster, ends it whole, and stops, starts and kills single servers of it."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from brats_ml.environment import for_child
from brats_ml.orchestration.local.airflow_access import ADMIN
from brats_ml.orchestration.local.airflow_api import AirflowClient
from brats_ml.orchestration.local.mlflow_access import make_experiment
from brats_ml.orchestration.runs.processes import end_marked, marked, start_marked
from tests.cluster import broker, database, s3
from tests.cluster.services import STORES, members, services
from tests.cluster.settings import ROOT, Cluster
from tests.cluster.supervisor import hold_file, kill_tree

START_S = 300.0
POLL_S = 0.5
POOLS = {"gpu": 1, "cpu": 2}
# Each program that the cluster needs, and the package of Debian that has it.
PROGRAMS = {
    str(database.BIN / "postgres"): "postgresql-15",
    "redis-server": "redis-server",
    "radosgw": "radosgw",
    "radosgw-admin": "radosgw",
    "ceph-mon": "ceph-mon",
    "ceph-osd": "ceph-osd",
    "ceph": "ceph-common",
}
# docs/how-to/back-up.md copies buckets with it.
PROGRAMS_OF_TESTS = {"aws": "awscli"}


def up(folder: Path, *, checkout: Path | None = None) -> Cluster:
    """Start every server that does not run, wait until all of them answer, and return the cluster.

    Args:
        folder: The folder of the cluster; a cluster that was ended goes on with what it kept.
        checkout: The repository of the DAGs; by default a clone of this one in the folder.
    """
    require_programs(PROGRAMS)
    folder = folder.resolve()
    cluster = Cluster.of(folder, (checkout or folder / "checkout").resolve())
    if not cluster.checkout.exists():
        subprocess.run(["git", "clone", "-q", str(ROOT), str(cluster.checkout)], check=True)
    if _supervisor(folder) is None:
        end_marked(folder)  # what a killed supervisor left behind
        broker.create(cluster)
        database.create(cluster)
        s3.create(cluster)
        _hold(folder, services(cluster))
        command = [sys.executable, "-m", "tests.cluster.supervisor", str(folder)]
        log = folder / "logs/supervisor.log"
        start_marked(command, root=folder, variables={"PYTHONPATH": str(ROOT)}, log=log)
        cluster = _start_stores(cluster)
        _create_accounts(cluster, "airflow", "--migrate")
    _release(folder, services(cluster))
    wait(cluster, services(cluster))
    _prepare(cluster)
    return cluster


def down(folder: Path) -> int:
    """End every server and every process that one of them started; return how many were left to kill."""
    folder = folder.resolve()
    supervisor = _supervisor(folder)
    if supervisor is not None:
        with suppress(psutil.NoSuchProcess):
            supervisor.terminate()
            supervisor.wait(timeout=180)
    return end_marked(folder)


def stop(cluster: Cluster, name: str) -> None:
    """Ask a server to end, and start it again only after `start`."""
    _hold(cluster.folder, members(name, services(cluster)))
    for member in members(name, services(cluster)):
        with suppress(psutil.NoSuchProcess, KeyError):
            psutil.Process(pids(cluster)[member]).terminate()


def start(cluster: Cluster, name: str) -> None:
    """Start a server again that `stop` or `kill` holds."""
    _release(cluster.folder, members(name, services(cluster)))


def kill(cluster: Cluster, name: str, *, hold: bool = False, whole: bool = True) -> None:
    """Kill a server or a group with SIGKILL; the supervisor starts it again at once unless it is held.

    Args:
        cluster: The cluster.
        name: The server or group.
        hold: Keep it down until `start`.
        whole: Kill all processes that it started too, as the end of its machine would.
    """
    found = members(name, services(cluster))
    if hold:
        _hold(cluster.folder, found)
    for member in found:
        pid = pids(cluster)[member]
        if whole:
            kill_tree(pid)
        else:
            psutil.Process(pid).kill()


def pids(cluster: Cluster) -> dict[str, int]:
    """Return the process id of each server that runs."""
    recorded: dict[str, int] = json.loads((cluster.folder / "processes.json").read_text())
    return {name: pid for name, pid in recorded.items() if psutil.pid_exists(pid)}


def status(cluster: Cluster) -> dict[str, str]:
    """Return `ready`, `starting`, `held` or `down` for each server."""
    running = pids(cluster) if _supervisor(cluster.folder) else {}
    found = {}
    for name, service in services(cluster).items():
        if name in running:
            found[name] = "ready" if service.ready() else "starting"
        else:
            found[name] = "held" if hold_file(cluster.folder, name).exists() else "down"
    return found


def wait(cluster: Cluster, names: Collection[str], *, limit_s: float = START_S) -> None:
    """Wait until servers answer."""
    deadline, waiting = time.monotonic() + limit_s, list(names)
    while waiting:
        known = services(cluster)
        waiting = [name for name in waiting if not known[name].ready()]
        if waiting and time.monotonic() > deadline:
            logs = ", ".join(str(cluster.folder / f"logs/{name}.log") for name in waiting)
            raise SystemExit(f"{', '.join(waiting)} did not answer within {limit_s:.0f} s: see {logs}")
        time.sleep(POLL_S if waiting else 0)


def require_programs(packages: Mapping[str, str]) -> None:
    """Check that programs are installed, each with the package of Debian that has it, and name what is missing."""
    missing = sorted({package for program, package in packages.items() if shutil.which(program) is None})
    if missing:
        raise SystemExit(f"the cluster needs programs that are missing: apt-get install {' '.join(missing)}")


def _start_stores(cluster: Cluster) -> Cluster:
    _release(cluster.folder, ("postgres", "redis", "ceph-mon"))
    wait(cluster, ("postgres", "redis", "ceph-mon"))
    s3.create_store(cluster)
    _release(cluster.folder, STORES)
    wait(cluster, STORES)
    database.create_databases(cluster)
    return s3.create_buckets(cluster)


def _create_accounts(cluster: Cluster, server: str, *options: str) -> None:
    """Create the accounts of Airflow, and its tables with `--migrate`, or those of MLflow."""
    log = cluster.folder / f"logs/accounts-{server}.log"
    command = [sys.executable, "-m", "brats_ml", "accounts", server, "--root", str(cluster.checkout)]
    command += ["--passwords", str(cluster.passwords(server)), *options]
    if start_marked(command, root=cluster.folder, variables=cluster.airflow, log=log).wait():
        raise SystemExit(f"the accounts of {server} could not be created: see {log}")


def _prepare(cluster: Cluster) -> None:
    """Create what the servers themselves keep: MLflow's reader and experiment, pools, and the remote of DVC."""
    _create_accounts(cluster, "mlflow")
    make_experiment(cluster.url("mlflow"), cluster.secrets)
    password = cluster.password("airflow", ADMIN)
    with AirflowClient(cluster.url("airflow"), user=ADMIN, password=password) as client:
        for pool, slots in POOLS.items():
            client.set_pool(pool, slots, "as many as its workers have")
    remote = [sys.executable, "-m", "dvc", "remote"]
    address = ["modify", "--local", "s3", "endpointurl", cluster.url("radosgw")]
    for arguments in (["add", "--local", "--default", "--force", "s3", "s3://dvc/cache"], address):
        subprocess.run([*remote, *arguments], cwd=cluster.checkout, env=for_child(cluster.base), check=True)


def _supervisor(folder: Path) -> psutil.Process | None:
    return next((one for one in marked(folder) if "tests.cluster.supervisor" in one.cmdline()), None)


def _hold(folder: Path, names: Collection[str]) -> None:
    for name in names:
        hold_file(folder, name).parent.mkdir(exist_ok=True)
        hold_file(folder, name).touch()


def _release(folder: Path, names: Collection[str]) -> None:
    for name in names:
        hold_file(folder, name).unlink(missing_ok=True)
