"""The programs of a cluster in containers of our images, next to the stores of the test cluster."""

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from brats_ml import environment
from tests.cluster.settings import HOST, Cluster

ENGINE = "podman"
# Hosts in containers of their own may not raise the limits that podman asks for by default.
RUN = (ENGINE, "run", "--network", "host", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=8192:8192")
TAG = os.environ.get("BRATS_TAG", "0.1.0")
UID = 50000
# The images have their own.
OF_THE_HOST = (
    "PATH",
    "PYTHONPATH",
    "AIRFLOW_HOME",
    "AIRFLOW__CORE__DAGS_FOLDER",
    "AIRFLOW__CORE__PLUGINS_FOLDER",
    "AIRFLOW__LOGGING__BASE_LOG_FOLDER",
    "MLFLOW_AUTH_CONFIG_PATH",
)


@dataclass(frozen=True)
class Container:
    """One program: its image, its command, and its variables."""

    image: str
    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


def containers(cluster: Cluster) -> dict[str, Container]:
    """Return the containers of a cluster by the name that the test cluster has for the program."""
    worker = ("airflow", "celery", "worker", "--skip-serve-logs", "--without-gossip")
    mlflow = {**cluster.mlflow, "MLFLOW_HOST": HOST, "MLFLOW_PORT": str(cluster.ports["mlflow"])}
    return {
        "mlflow": Container("mlflow", ("mlflow", "server", "--app-name", "basic-auth"), mlflow),
        "api-server": Container("orchestrator", ("airflow", "api-server"), cluster.airflow),
        "scheduler": Container("orchestrator", ("airflow", "scheduler", "--skip-serve-logs"), cluster.airflow),
        "dag-processor": Container("orchestrator", ("airflow", "dag-processor"), cluster.airflow),
        "triggerer": Container("orchestrator", ("airflow", "triggerer", "--skip-serve-logs"), cluster.airflow),
        "worker-cpu": Container(
            "worker-cpu",
            (*worker, "--queues", "default", "--concurrency", "2"),
            cluster.worker,
        ),
        "worker-gpu": Container(
            "worker-cpu",
            (*worker, "--queues", "gpu", "--concurrency", "1"),
            cluster.worker,
        ),
    }


def start(cluster: Cluster, name: str) -> None:
    """Start a container that goes on in the background."""
    _run(cluster, containers(cluster)[name], "--detach", "--name", label(cluster, name), "--hostname", name)


def run(cluster: Cluster, container: Container, *options: str) -> str:
    """Run a container to its end and return its output."""
    return _run(cluster, container, "--rm", *options)


def _run(cluster: Cluster, container: Container, *options: str) -> str:
    """Run a container as compose.yaml does: read-only, without rights, as a user that is not root."""
    variables = {key: value for key, value in container.variables.items() if key not in OF_THE_HOST}
    variables |= {environment.STATE.name: "/state", environment.REPOSITORY.name: "/repository"}
    command = [
        *RUN, *options, "--log-driver", "k8s-file",
        "--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges",
        "--tmpfs", "/tmp", "--tmpfs", "/opt/brats/.dvc/tmp",  # noqa: S108 - in the container
        "--volume", f"{cluster.state}:/state", "--volume", f"{cluster.checkout / '.git'}:/repository:ro",
        # As if the images were made of this commit.
        "--volume", f"{cluster.checkout / 'params.yaml'}:/opt/brats/params.yaml:ro",
        # Values come from the environment of the engine, so none is in a command line.
        *(part for key in variables for part in ("--env", key)),
        f"localhost/brats-{container.image}:{TAG}", *container.command,
    ]  # fmt: skip
    child = environment.for_child(variables)
    return subprocess.run(command, env=child, check=True, stdout=subprocess.PIPE, text=True).stdout


def logs(cluster: Cluster, name: str) -> str:
    """Return what a container has printed."""
    done = subprocess.run(
        [ENGINE, "logs", label(cluster, name)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.stdout


def run_in(cluster: Cluster, name: str, *command: str) -> str:
    """Run a command in a running container and return its output."""
    done = subprocess.run(
        [ENGINE, "exec", label(cluster, name), *command], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def wait_for_worker(cluster: Cluster, name: str, *, limit_s: float = 240) -> None:
    """Wait until a worker takes tasks."""
    deadline = time.monotonic() + limit_s
    while "ready." not in (text := logs(cluster, name)):
        assert time.monotonic() < deadline, text[-2000:]
        time.sleep(1)


def remove(cluster: Cluster) -> None:
    """End and remove every container of a cluster."""
    for name in reversed(containers(cluster)):
        subprocess.run(
            [ENGINE, "rm", "--force", "--time", "20", label(cluster, name)], check=False, stdout=subprocess.DEVNULL
        )


def label(cluster: Cluster, name: str) -> str:
    """Return the name of a container."""
    return f"brats-{cluster.ports['airflow']}-{name}"
