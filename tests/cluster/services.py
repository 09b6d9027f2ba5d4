"""The servers of a cluster: how each is started, and when it answers."""

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.cluster import broker, database, s3
from tests.cluster.settings import HOST, Cluster

PYTHON = (sys.executable, "-m")
# Names by which a person or a test stops and kills servers; the others are names of single servers.
GROUPS = {"s3": ("ceph-mon", "ceph-osd", "radosgw"), "workers": ("worker-cpu", "worker-gpu")}
# Airflow's servers and MLflow start when the databases and the buckets exist.
STORES = ("postgres", "redis", "ceph-mon", "ceph-osd", "radosgw")


@dataclass(frozen=True)
class Service:
    """One server.

    Attributes:
        command: How to start it.
        variables: Variables that it gets besides those of this process.
        ready: Returns whether it answers.
        grace_s: How long it may take to end.
    """

    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] = lambda: True
    grace_s: float = 20.0


def services(cluster: Cluster) -> dict[str, Service]:
    """Return every server by its name, in the order of their start."""
    api = f"{cluster.url('airflow')}/api/v2/monitor/health"

    def part(name: str) -> Callable[[], bool]:
        return lambda: (_json(api).get(name) or {}).get("status") == "healthy"

    port = cluster.ports
    airflow = (*PYTHON, "airflow")
    return {
        "postgres": Service(database.command(cluster), ready=lambda: database.answers(cluster)),
        "redis": Service(broker.command(cluster), ready=lambda: _listens(port["redis"])),
        "ceph-mon": Service(s3.command(cluster, "mon"), ready=lambda: _listens(port["ceph-mon"])),
        "ceph-osd": Service(s3.command(cluster, "osd"), ready=lambda: s3.is_up(cluster)),
        "radosgw": Service(s3.command(cluster, "rgw"), ready=lambda: _answers(cluster.url("radosgw"))),
        "mlflow": Service(
            (*PYTHON, "mlflow", "server", "--app-name", "basic-auth", "--host", HOST, "--port", str(port["mlflow"])),
            cluster.mlflow,
            lambda: _answers(f"{cluster.url('mlflow')}/health"),
        ),
        "api-server": Service((*airflow, "api-server"), cluster.airflow, lambda: bool(_json(api))),
        "scheduler": Service((*airflow, "scheduler", "--skip-serve-logs"), cluster.airflow, part("scheduler")),
        "dag-processor": Service((*airflow, "dag-processor"), cluster.airflow, part("dag_processor")),
        "triggerer": Service((*airflow, "triggerer", "--skip-serve-logs"), cluster.airflow, part("triggerer")),
        "worker-cpu": _worker(cluster, "cpu", queue="default", concurrency=2),
        "worker-gpu": _worker(cluster, "gpu", queue="gpu", concurrency=1),
    }


def members(name: str, known: Mapping[str, Service]) -> tuple[str, ...]:
    """Return the servers that a name of a server or of a group means."""
    found = GROUPS.get(name, (name,))
    if unknown := set(found) - known.keys():
        raise SystemExit(f"there is no server {unknown.pop()}: name one of {', '.join([*known, *GROUPS])}")
    return found


def _worker(cluster: Cluster, name: str, *, queue: str, concurrency: int) -> Service:
    command = (
        *PYTHON, "airflow", "celery", "worker", "--celery-hostname", f"{name}@{socket.gethostname()}",
        "--queues", queue, "--concurrency", str(concurrency), "--skip-serve-logs", "--without-gossip",
    )  # fmt: skip
    log = cluster.folder / f"logs/worker-{name}.log"
    # A training that is asked to end may need half a minute for its checkpoint.
    return Service(command, cluster.worker, lambda: _says(log, "ready."), grace_s=60.0)


def _says(log: Path, word: str) -> bool:
    return log.is_file() and word in log.read_text(errors="replace")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == os.EX_OK


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False, timeout=5).is_success
    except httpx.TransportError:
        return False


def _json(url: str) -> dict[str, dict[str, str]]:
    try:
        answer = httpx.get(url, trust_env=False, timeout=5)
    except httpx.TransportError:
        return {}
    return dict(answer.json()) if answer.is_success else {}
