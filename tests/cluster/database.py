"""PostgreSQL of a cluster: one data folder, and a role and databases for each program."""

import os
import subprocess
from pathlib import Path

from brats_ml import files
from brats_ml.environment import for_child
from tests.cluster.settings import HOST, Cluster

BIN = Path("/usr/lib/postgresql/15/bin")
OWNED = {"airflow": ("airflow",), "mlflow": ("mlflow", "mlflow_accounts")}
# PostgreSQL refuses root. In a namespace of its own it runs as another user, with root's rights to its folder alone.
AS_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--") if os.geteuid() == 0 else ()


def command(cluster: Cluster) -> tuple[str, ...]:
    """Return how to start the server: on loopback alone, without a Unix socket."""
    settings = {
        "listen_addresses": HOST,
        "port": cluster.ports["postgres"],
        "unix_socket_directories": "",
        "max_connections": 100,
        "update_process_title": "off",
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return (*AS_USER, str(BIN / "postgres"), "-D", str(_data(cluster)), *options)


def create(cluster: Cluster) -> None:
    """Create the data folder where there is none, as a whole."""
    if _data(cluster).exists():
        return
    password = cluster.folder / "postgres.password"
    with files.replacing(password, mode=0o600) as file:
        file.write_text(cluster.secrets["postgres"])
    with files.replacing(_data(cluster)) as folder:
        initdb = [*AS_USER, str(BIN / "initdb"), "-D", str(folder), "-U", "brats", "-E", "UTF8", "--no-locale"]
        subprocess.run([*initdb, "--auth=scram-sha-256", f"--pwfile={password}"], check=True, stdout=subprocess.DEVNULL)
    password.unlink()


def create_databases(cluster: Cluster) -> None:
    """Create each role and database that is missing. The passwords go through standard input."""
    lines = []
    for role, databases in OWNED.items():
        secret = cluster.secrets[f"{role}-database"]
        lines.append(f"SELECT 'CREATE ROLE {role} LOGIN' WHERE to_regrole('{role}') IS NULL \\gexec")
        lines.append(f"ALTER ROLE {role} PASSWORD '{secret}';")
        for name in databases:
            missing = f"NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}')"
            lines.append(f"SELECT 'CREATE DATABASE {name} OWNER {role}' WHERE {missing} \\gexec")
            # Every role of the server may enter a new database otherwise.
            lines.append(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC;")
    psql = [str(BIN / "psql"), "-q", "-v", "ON_ERROR_STOP=1"]
    subprocess.run(psql, input="\n".join(lines), text=True, env=for_child(cluster.postgres_login), check=True)


def answers(cluster: Cluster) -> bool:
    """Return whether the server takes connections."""
    ready = [str(BIN / "pg_isready"), "-q", "-h", HOST, "-p", str(cluster.ports["postgres"])]
    return subprocess.run(ready, check=False).returncode == 0


def _data(cluster: Cluster) -> Path:
    return cluster.folder / "postgres"
