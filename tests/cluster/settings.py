"""What one cluster is: its folder, checkout, ports and secrets, and the environment of each kind of server."""

import json
import secrets
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from brats_ml import environment, files
from brats_ml.orchestration.local.passwords import ensure_passwords

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
SERVERS = ("postgres", "redis", "ceph-mon", "radosgw", "mlflow", "airflow")
SECRETS = (
    "postgres",
    "airflow-database",
    "mlflow-database",
    "redis",
    "writer",
    "flask",
    "api",
    "jwt",
)
# One for DVC and one for the MLflow server; neither may use the other's.
BUCKETS = ("dvc", "mlflow")


@dataclass(frozen=True)
class Cluster:
    """One cluster on this machine.

    Attributes:
        folder: It has all that the servers keep, and outlives them.
        checkout: The repository that runs clone, with the DAGs.
        ports: The port of each server.
        secrets: Passwords of servers, and keys, made at the first start; those of people are in files of their own.
        keys: Access key and secret key of the owner of each bucket, made at the first start of the S3 server.
    """

    folder: Path
    checkout: Path
    ports: Mapping[str, int]
    secrets: Mapping[str, str]
    keys: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, folder: Path, checkout: Path) -> Self:
        """Return the cluster of a folder, or a new one on free ports."""
        file = folder / "cluster.json"
        if file.is_file():
            known = json.loads(file.read_text())
            return cls(folder, Path(known["checkout"]), known["ports"], known["secrets"], known["keys"])
        made = {name: secrets.token_urlsafe(24) for name in SECRETS}
        # Airflow wants 32 bytes in this alphabet, with their padding.
        made["fernet"] = f"{secrets.token_urlsafe(32)}="
        return cls(folder, checkout, _free_ports(), made, {}).saved()

    def saved(self) -> Self:
        """Write the cluster to a file that only its owner can read."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        document = {field.name: getattr(self, field.name) for field in fields(self)}
        document |= {"folder": str(self.folder), "checkout": str(self.checkout)}
        files.write_json(self.folder / "cluster.json", document, mode=0o600)
        return self

    def passwords(self, server: str) -> Path:
        """Return the file of the passwords of people in Airflow or MLflow, which `brats accounts` writes."""
        return self.folder / f"accounts/{server}.json"

    def password(self, server: str, account: str) -> str:
        """Return the password of a person's account."""
        return ensure_passwords(self.passwords(server), account)[account]

    def url(self, server: str) -> str:
        """Return the address of an HTTP server."""
        return f"http://{HOST}:{self.ports[server]}"

    @property
    def state(self) -> Path:
        """The folder of runs, records and checkpoints, which all workers share."""
        return self.folder / "state"

    @property
    def base(self) -> dict[str, str]:
        """Variables of every process."""
        return environment.DEFAULTS | {
            "PATH": environment.search_path(Path(sys.executable).parent),
            "PYTHONPATH": str(self.checkout),
        }

    @property
    def postgres_login(self) -> dict[str, str]:
        """Variables by which PostgreSQL's clients log in as its administrator."""
        return self._postgres("brats", "postgres") | {"PGDATABASE": "postgres"}

    def _postgres(self, user: str, secret: str) -> dict[str, str]:
        address = {"PGHOST": HOST, "PGPORT": str(self.ports["postgres"])}
        return address | {"PGUSER": user, "PGPASSWORD": self.secrets[secret]}

    def bucket_login(self, bucket: str) -> dict[str, str]:
        """Variables by which S3 clients log in as the owner of a bucket."""
        access, secret = self.keys.get(bucket, ("", ""))
        return {
            "AWS_ENDPOINT_URL_S3": self.url("radosgw"),
            "AWS_ACCESS_KEY_ID": access,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def mlflow(self) -> dict[str, str]:
        """Variables of the MLflow server."""
        return {
            **self.base,
            **read_env(self.checkout / "docker/mlflow.env"),
            **self._postgres("mlflow", "mlflow-database"),
            **self.bucket_login("mlflow"),
            "MLFLOW_S3_ENDPOINT_URL": self.url("radosgw"),
            "MLFLOW_ARTIFACTS_DESTINATION": "s3://mlflow/artifacts",
            "MLFLOW_AUTH_CONFIG_PATH": str(self.checkout / "docker/mlflow-auth.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": self.secrets["writer"],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self.secrets["flask"],
        }

    @property
    def worker(self) -> dict[str, str]:
        """Variables of Celery's workers: they log in to Redis, MLflow and one bucket, and to no database."""
        redis = f"redis://:{self.secrets['redis']}@{HOST}:{self.ports['redis']}"
        return {
            **self.base,
            **read_env(self.checkout / "docker/airflow.env"),
            **self.bucket_login("dvc"),
            environment.REPOSITORY.name: str(self.checkout),
            environment.STATE.name: str(self.state),
            environment.MLFLOW_TRACKING_URI.name: self.url("mlflow"),
            environment.MLFLOW_TRACKING_USERNAME.name: "writer",
            environment.MLFLOW_TRACKING_PASSWORD.name: self.secrets["writer"],
            "AIRFLOW_HOME": str(self.folder / "airflow"),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.checkout / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.checkout / "plugins"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url('airflow')}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": self.secrets["fernet"],
            "AIRFLOW__API__BASE_URL": self.url("airflow"),
            "AIRFLOW__API__SECRET_KEY": self.secrets["api"],
            "AIRFLOW__API_AUTH__JWT_SECRET": self.secrets["jwt"],
            "AIRFLOW__CELERY__BROKER_URL": f"{redis}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"{redis}/1",
            # Task logs are read as files in a shared folder, since Airflow's log servers would be one more open port.
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.folder / "airflow/logs"),
        }

    @property
    def airflow(self) -> dict[str, str]:
        """Variables of Airflow's servers."""
        login = f"airflow:{self.secrets['airflow-database']}@{HOST}:{self.ports['postgres']}"
        return {
            **self.worker,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{login}/airflow",
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self.ports["airflow"]),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        }


def read_env(path: Path) -> dict[str, str]:
    """Return the variables of a file with a `NAME=value` on each line, as compose reads it."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", maxsplit=1) for line in lines)


def _free_ports() -> dict[str, int]:
    with ExitStack() as held:
        probes = {name: held.enter_context(socket.socket()) for name in SERVERS}
        for probe in probes.values():
            probe.bind((HOST, 0))
        return {name: int(probe.getsockname()[1]) for name, probe in probes.items()}
