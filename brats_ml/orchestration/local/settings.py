"""Settings of a checkout's local servers: they listen on loopback only and keep their files in .brats."""

import json
import os
import secrets
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from brats_ml import environment, files, privacy
from brats_ml.errors import ConfigError, StorageError
from brats_ml.orchestration.local.airflow_access import ACCOUNTS, ADMIN, AUTH_MANAGER
from brats_ml.orchestration.local.mlflow_access import READER, WRITER
from brats_ml.orchestration.local.passwords import ensure_passwords
from brats_ml.workspace import Workspace
from brats_ml.workspace.state import State

DEFAULT_PORTS = {"airflow": 8080, "mlflow": 5000}
PORT_VARIABLES = {"airflow": environment.AIRFLOW_PORT, "mlflow": environment.MLFLOW_PORT}
PARALLEL_TASKS = 3


@dataclass(frozen=True)
class Settings:
    """The local servers of one checkout."""

    root: Path
    airflow_port: int
    mlflow_port: int

    @property
    def state(self) -> State:
        """Where the servers keep their data: in the checkout, whatever runs of Airflow share."""
        return local_state(self.root)

    @property
    def airflow_url(self) -> str:
        """Airflow's page and API."""
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        """MLflow's page and API."""
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def password(self) -> str:
        """The password of `admin` in Airflow, created at first use."""
        return ensure_passwords(self.state.airflow.passwords, *ACCOUNTS)[ADMIN]

    @property
    def mlflow_passwords(self) -> dict[str, str]:
        """The password of each account of MLflow, created at first use."""
        return ensure_passwords(self.state.mlflow.passwords, WRITER, READER)

    def slots(self, pool: str) -> int:
        """Return how many tasks of a pool run at once; `meta.airflow` in dvc.yaml names the pools.

        On a laptop the pool `gpu` has the processor, which two trainings would share badly.
        """
        return 1 if pool == "gpu" else os.cpu_count() or 1

    def commands(self) -> dict[str, list[str]]:
        """The command of each server, by its name."""
        store = self.state.mlflow
        python = [sys.executable, "-m"]
        # Airflow reads task logs as files, since its log servers would listen on every interface.
        return {
            "mlflow": [
                *python, "mlflow", "--env-file", "mlflow/server.env", "server", "--app-name", "basic-auth",
                "--port", str(self.mlflow_port),
                "--backend-store-uri", f"sqlite:///{store.database}",
                "--default-artifact-root", store.artifacts.as_uri(),
            ],
            "api-server": [*python, "airflow", "api-server"],
            "scheduler": [*python, "airflow", "scheduler", "--skip-serve-logs"],
            "dag-processor": [*python, "airflow", "dag-processor"],
            "triggerer": [*python, "airflow", "triggerer", "--skip-serve-logs"],
        }  # fmt: skip

    def environment(self) -> dict[str, str]:
        """Variables of the servers and of every task that they start."""
        home, writer = self.state.airflow, self.mlflow_passwords[WRITER]
        return environment.DEFAULTS | {
            "PATH": environment.search_path(Path(sys.executable).parent),
            "PYTHONPATH": str(self.root),
            environment.REPOSITORY.name: str(self.root),
            environment.STATE.name: str(self.state),
            environment.MLFLOW_TRACKING_URI.name: self.mlflow_url,
            environment.MLFLOW_TRACKING_USERNAME.name: WRITER,
            environment.MLFLOW_TRACKING_PASSWORD.name: writer,
            environment.MLFLOW_BACKEND_STORE_URI.name: f"sqlite:///{self.state.mlflow.database}",
            "MLFLOW_AUTH_CONFIG_PATH": str(self.root / "mlflow/auth.ini"),
            "MLFLOW_AUTH_ADMIN_USERNAME": WRITER,
            "MLFLOW_AUTH_ADMIN_PASSWORD": writer,
            # MLflow refuses what it has no rule for.
            "MLFLOW_BASIC_AUTH_FAIL_CLOSED": "true",
            # It protects a form for new accounts, and one process serves this form.
            "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_urlsafe(),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home.database}",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(PARALLEL_TASKS),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.root / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.root / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.airflow_url}/execution/",
            "AIRFLOW__CORE__AUTH_MANAGER": AUTH_MANAGER,
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.airflow_port),
            "AIRFLOW__API__BASE_URL": self.airflow_url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            # Airflow may notice the end of a task only after this interval, and tasks here are short.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            # Airflow notices a killed scheduler or task within a minute instead of five.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home.logs),
            "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": oct(0o777 & ~privacy.umask()),
            "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": oct(0o666 & ~privacy.umask()),
        }


def local_state(root: Path) -> State:
    """Return the state of a checkout's own servers."""
    return Workspace(root).state


def choose(root: Path) -> Settings:
    """Return settings with ports from the environment, else the usual ports, else free ones."""
    return Settings(root, airflow_port=_port("airflow"), mlflow_port=_port("mlflow"))


def save(settings: Settings, processes: dict[str, int]) -> None:
    """Record the ports and the process id of each server."""
    document = {**asdict(settings), "root": str(settings.root), "processes": processes}
    files.write_json(settings.state.servers, document)


def recall(root: Path) -> tuple[Settings, dict[str, int]] | None:
    """Return what `save` recorded for `root`, None before its first call.

    Raises:
        StorageError: The record is damaged, so nobody knows which servers run.
    """
    path = local_state(root).servers
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text())
    except ValueError as error:
        raise StorageError(
            f"{path} is damaged: run `brats down`, which ends all servers and removes the file"
        ) from error
    return Settings(root, document["airflow_port"], document["mlflow_port"]), document["processes"]


def chosen_port(variable: environment.Variable) -> int | None:
    """Return the port that an environment variable sets, or None if it is unset.

    Raises:
        ConfigError: The value is no port.
    """
    chosen = variable.read()
    if chosen is None:
        return None
    if not chosen.isdecimal() or not 0 < int(chosen) < 65536:
        raise ConfigError(
            f"{variable.name} is {chosen!r}, which is not a port: set it to a number from 1 to 65535",
            key=variable.name,
        )
    return int(chosen)


def _port(server: str) -> int:
    chosen = chosen_port(PORT_VARIABLES[server])
    if chosen is not None:
        return chosen
    for candidate in (DEFAULT_PORTS[server], 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue  # another program uses the port; any free one will do
            return int(probe.getsockname()[1])
    raise ConfigError("no port is free on this machine: end another server", key=PORT_VARIABLES[server].name)
