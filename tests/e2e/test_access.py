"""The servers of `brats up` listen where the documentation says, and answer nobody without a login."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from brats_ml.orchestration.local.settings import Settings, recall
from brats_ml.orchestration.runs.processes import marked
from tests.access import answered_by_airflow, check_ports
from tests.e2e.checkout import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


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
    assert answered_by_airflow(settings.airflow_url, tmp_path) == set()


def test_the_check_notices_a_server_that_other_machines_reach(settings: Settings) -> None:
    with psutil.Popen(["python3", "-m", "http.server", "0"]) as server:
        try:
            while not server.net_connections("inet"):
                assert server.poll() is None
            with pytest.raises(AssertionError, match="sockets that other machines reach"):
                check_ports([server], [])
        finally:
            server.kill()
