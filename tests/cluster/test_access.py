"""Every port of the cluster is on loopback and answers nobody without a login."""

import json
import socket
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import httpx
import psutil
import psycopg
import pytest

from brats_ml.orchestration.runs.processes import marked
from tests.access import answered_by_airflow, check_ports, listening
from tests.cluster import control
from tests.cluster.airflow import TRAIN, Airflow
from tests.cluster.settings import HOST, Cluster
from tests.e2e import roles

pytestmark = pytest.mark.timeout(1200)
# For clients, for other stores, and two for heartbeats.
STORE_PORTS = 4
TIMEOUT_S = 60.0


def test_the_servers_listen_on_their_ports_of_loopback_alone(cluster: Cluster) -> None:
    # Ceph's store takes free ports itself; its protocol demands a key.
    store = listening([psutil.Process(control.pids(cluster)["ceph-osd"])])

    assert 0 < len(store) <= STORE_PORTS
    check_ports(marked(cluster.folder), {*cluster.ports.values(), *(port for _, port in store)})


def test_airflow_answers_nobody_without_a_login(cluster: Cluster, tmp_path: Path) -> None:
    assert answered_by_airflow(cluster.url("airflow"), tmp_path) == set()


def test_each_account_of_airflow_may_do_what_its_role_says(cluster: Cluster) -> None:
    found = roles.statuses(partial(Airflow, cluster), TRAIN, "no-such-run")

    assert roles.allowed(found.pop(None)) == set()
    assert {account: roles.allowed(statuses) for account, statuses in found.items()} == roles.MAY


@pytest.mark.parametrize(
    ("server", "path"),
    [
        ("mlflow", "/api/2.0/mlflow/experiments/search?max_results=1"),
        ("mlflow", "/api/2.0/mlflow/registered-models/search"),
        ("mlflow", "/api/2.0/mlflow-artifacts/artifacts?path="),
        ("radosgw", "/dvc"),
        ("radosgw", "/mlflow/artifacts"),
    ],
)
def test_mlflow_and_the_s3_server_refuse_without_a_login(cluster: Cluster, server: str, path: str) -> None:
    answer = httpx.get(f"{cluster.url(server)}{path}", trust_env=False, timeout=TIMEOUT_S)

    assert answer.status_code in (401, 403), answer.text[:200]


def test_the_s3_server_lists_no_bucket_without_a_login(cluster: Cluster) -> None:
    """Ceph answers with the empty list of a user `anonymous`."""
    listing = ElementTree.fromstring(httpx.get(cluster.url("radosgw"), trust_env=False, timeout=TIMEOUT_S).content)  # noqa: S314 - ours

    assert [node.tag for node in listing.iter() if node.tag.endswith("Bucket")] == []


def test_redis_refuses_without_a_password(cluster: Cluster) -> None:
    with socket.create_connection((HOST, cluster.ports["redis"]), timeout=TIMEOUT_S) as connection:
        connection.sendall(b"KEYS *\r\n")

        assert connection.recv(100).startswith(b"-NOAUTH")


@pytest.mark.parametrize("password", [None, "", "postgres"])
def test_postgres_refuses_without_the_password(cluster: Cluster, password: str | None) -> None:
    for user in ("brats", "airflow", "mlflow", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(host=HOST, port=cluster.ports["postgres"], user=user, password=password, dbname="airflow")


def test_no_log_and_no_command_line_has_a_secret(cluster: Cluster) -> None:
    people = [json.loads(cluster.passwords(server).read_text()).values() for server in ("airflow", "mlflow")]
    secret = [*cluster.secrets.values(), *(key for pair in cluster.keys.values() for key in pair[1:])]
    secret += [password for known in people for password in known]
    logs = [path for path in cluster.folder.rglob("*.log") if "postgres" not in path.parts]
    texts = {str(path): path.read_text(errors="replace") for path in logs}
    for process in marked(cluster.folder):
        try:
            texts[f"command of {process.pid}"] = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue

    assert [name for name, text in texts.items() if any(one in text for one in secret)] == []
