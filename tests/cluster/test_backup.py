"""The backup of a cluster and its restore on an empty one, by the commands of docs/how-to/back-up.md."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest

from brats_ml import files
from brats_ml.adapters.tracking.champions import Champions
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.orchestration.local.airflow_access import AUTH_MANAGER
from brats_ml.workspace.state import State
from tests import documented
from tests.actions.registered_models import TRAINED, own_store, register
from tests.cluster.database import AS_USER, BIN, OWNED
from tests.cluster.settings import BUCKETS
from tests.s3_server import free_port, moto_server

pytestmark = pytest.mark.timeout(900)

DATABASES = [name for owned in OWNED.values() for name in owned]
PAGE, WHERE = "how-to/back-up.md", "/mnt/backup/brats"


@contextmanager
def empty_cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the variables of new servers: PostgreSQL with empty databases, S3 with empty buckets."""
    folder.mkdir()
    port, data = free_port(), folder / "postgres"
    initdb = [*AS_USER, str(BIN / "initdb"), "-D", str(data), "-U", "brats", "-E", "UTF8", "--no-locale"]
    subprocess.run([*initdb, "--auth=trust"], check=True, stdout=subprocess.DEVNULL)
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"port={port}", "-c", "unix_socket_directories="]
    with (
        (folder / "postgres.log").open("w") as log,
        subprocess.Popen(
            [*AS_USER, str(BIN / "postgres"), "-D", str(data), *options], stdout=log, stderr=log
        ) as server,
        moto_server(folder / "s3.log") as s3,
    ):
        try:
            variables = {
                "PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "brats", "PGPASSWORD": "unused",
                "AWS_ENDPOINT_URL_S3": s3, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_DEFAULT_REGION": "us-east-1", "BRATS_STATE": str(folder / "state"),
            }  # fmt: skip
            environment = {**os.environ, **variables}
            deadline = time.monotonic() + 60
            while subprocess.run([BIN / "pg_isready", "-q"], env=environment, check=False).returncode:
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            for database in DATABASES:
                subprocess.run([BIN / "createdb", database], env=environment, check=True)
            for bucket in BUCKETS:
                s3_of(variables).create_bucket(Bucket=bucket)
            yield variables
        finally:
            server.send_signal(signal.SIGINT)  # without waiting for clients that keep a connection


def s3_of(variables: Mapping[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=variables["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )


def uri(variables: Mapping[str, str], database: str) -> str:
    return f"postgresql+psycopg2://brats@127.0.0.1:{variables['PGPORT']}/{database}"


def fill(variables: Mapping[str, str]) -> None:
    """Register a champion in MLflow and the ledger, put objects into the buckets, and make Airflow's accounts."""
    with own_store():
        store, state = uri(variables, "mlflow"), State(Path(variables["BRATS_STATE"]))
        state.path.mkdir()
        register(store, "segmentation", 1, TRAINED / "registered/segmentation")
        champions = Champions(Registry(store), state)
        version = champions.registry.get(MODELS["segmentation"], 1)
        assert version is not None
        champions.promote(version, decision="test", against=None)
    files.write_json(state.splits.path, {"patients": {}})
    (state.downloads).mkdir()
    (state.downloads / "made-again").write_text("x")
    for number, path in enumerate(sorted((TRAINED / "registered/segmentation").rglob("*.json"))):
        for bucket in BUCKETS:
            s3_of(variables).put_object(Bucket=bucket, Key=f"a/{number}/{path.name}", Body=path.read_bytes())
    accounts(variables)


def accounts(variables: Mapping[str, str]) -> str:
    airflow = {
        **os.environ, **variables, "PYTHONPATH": str(documented.ROOT),
        "AIRFLOW_HOME": str(Path(variables["BRATS_STATE"]).with_name("airflow")),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": uri(variables, "airflow"), "AIRFLOW__CORE__AUTH_MANAGER": AUTH_MANAGER,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }  # fmt: skip
    command = [sys.executable, "-m", "brats_ml", "accounts", "airflow", "--migrate"]
    done = subprocess.run(
        command, cwd=variables["BRATS_STATE"], env=airflow, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def rows(variables: Mapping[str, str], database: str) -> list[str]:
    """Return all rows of a database as statements, sorted."""
    dump = [str(BIN / "pg_dump"), "--data-only", "--inserts", database]
    done = subprocess.run(dump, env={**os.environ, **variables}, check=True, stdout=subprocess.PIPE, text=True)
    return sorted(line for line in done.stdout.splitlines() if line.startswith("INSERT"))


def objects(variables: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return the ETag of each object."""
    listed = {bucket: s3_of(variables).list_objects_v2(Bucket=bucket)["Contents"] for bucket in BUCKETS}
    return {(bucket, one["Key"]): one["ETag"] for bucket, found in listed.items() for one in found}


def test_a_cluster_comes_back_whole_on_an_empty_one(tmp_path: Path) -> None:
    def typed(name: str, variables: Mapping[str, str]) -> None:
        script = documented.commands(PAGE, name)
        assert WHERE in script
        programs = {**variables, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        documented.run(script.replace(WHERE, str(tmp_path / "backup")), folder=tmp_path, variables=programs)

    with empty_cluster(tmp_path / "old") as old:
        fill(old)
        typed("backup: a cluster", old)
        before = {database: rows(old, database) for database in DATABASES}
        stored, state = objects(old), State(Path(old["BRATS_STATE"]))

    with empty_cluster(tmp_path / "new") as new:
        assert not any(rows(new, database) for database in DATABASES)
        typed("restore: a cluster", new)
        restored = State(Path(new["BRATS_STATE"]))

        assert {database: rows(new, database) for database in DATABASES} == before
        assert len(before["airflow"]) > 500
        assert objects(new) == stored
        assert len(stored) > 2
        assert restored.ledger.path.read_bytes() == state.ledger.path.read_bytes()
        assert not restored.downloads.exists()
        with own_store():
            champion = Champions(Registry(uri(new, "mlflow")), restored).of(MODELS["segmentation"])
            assert champion is not None
            assert champion.number == 1
        assert accounts(new).endswith(f"the passwords are in {restored.airflow.passwords}\n")
        assert "the account" not in accounts(new)
