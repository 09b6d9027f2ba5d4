"""The servers of `brats up` listen where the documentation says, and answer nobody without a login."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from brats_ml.orchestration.local.settings import Settings, recall
from brats_ml.orchestration.runs.processes import marked
from tests.access import answered, check_ports
from tests.e2e.checkout import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
DOCUMENTS = ("/openapi.json", "/auth/openapi.json")
# The API of tasks has a document for each version.
TASKS_API = "from airflow.api_fastapi.execution_api.versions import bundle; print(bundle.versions[0].value)"
# Whether Airflow lives, its version, and the login itself.
PUBLIC = {
    ("get", "/api/v2/monitor/health"),
    ("get", "/api/v2/version"),
    ("get", "/api/v2/auth/login"),
    ("get", "/api/v2/auth/logout"),
    ("post", "/auth/token"),
    ("post", "/auth/token/cli"),
    ("get", "/execution/health"),
    ("get", "/execution/health/ping"),
}


@pytest.fixture(scope="module")
def settings(make_checkout: Callable[..., Checkout]) -> Iterator[Settings]:
    checkout = make_checkout()
    checkout.brats("up")
    found = recall(checkout.root)
    assert found is not None
    yield found[0]
    checkout.brats("down")


def processes(root: Path) -> list[psutil.Process]:
    found = marked(root)
    assert len(found) >= 5
    return found


def test_the_servers_listen_on_the_documented_ports_of_loopback_alone(settings: Settings) -> None:
    check_ports(processes(settings.root), [settings.airflow_port, settings.mlflow_port])


def test_airflow_answers_nobody_without_a_login(settings: Settings, tmp_path: Path) -> None:
    # Airflow writes a configuration file on import.
    home = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    named = subprocess.run([sys.executable, "-c", TASKS_API], env=home, capture_output=True, text=True, check=True)
    version = named.stdout.split()[-1]

    documents = [*DOCUMENTS, f"/execution/openapi.json?version={version}"]
    assert answered(settings.airflow_url, documents) - PUBLIC == set()


def test_the_check_notices_a_server_that_other_machines_reach(settings: Settings) -> None:
    with psutil.Popen(["python3", "-m", "http.server", "0"]) as server:
        try:
            while not server.net_connections("inet"):
                assert server.poll() is None
            with pytest.raises(AssertionError, match="sockets that other machines reach"):
                check_ports([server], [])
        finally:
            server.kill()
