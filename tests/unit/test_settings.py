"""Where the local servers listen, and what they keep to themselves."""

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from brats_ml.environment import AIRFLOW_PORT, MLFLOW_PORT
from brats_ml.errors import ConfigError, StorageError
from brats_ml.orchestration.local import settings

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_chosen_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(AIRFLOW_PORT.name, raising=False)
    monkeypatch.delenv(MLFLOW_PORT.name, raising=False)


def test_a_port_of_the_environment_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(AIRFLOW_PORT.name, "18123")

    assert settings.choose(tmp_path).airflow_url == "http://127.0.0.1:18123"


@pytest.mark.parametrize("value", ["", "web", "0", "65536", "-1"])
def test_a_port_that_is_none_is_refused_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(MLFLOW_PORT.name, value)

    with pytest.raises(ConfigError, match=MLFLOW_PORT.name):
        settings.choose(tmp_path)


def test_where_the_usual_port_is_taken_a_free_one_is_found(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Someone else may have it already, which is the same to us.
        with suppress(OSError):
            other.bind(("127.0.0.1", settings.DEFAULT_PORTS["airflow"]))
        other.listen()

        assert settings.choose(tmp_path).airflow_port != settings.DEFAULT_PORTS["airflow"]


def test_what_was_saved_is_recalled(tmp_path: Path) -> None:
    chosen = settings.Settings(tmp_path, airflow_port=1234, mlflow_port=5678)
    chosen.state.path.mkdir()

    settings.save(chosen, {"mlflow": 42})

    assert settings.recall(tmp_path) == (chosen, {"mlflow": 42})


def test_nothing_is_recalled_where_nothing_ever_ran(tmp_path: Path) -> None:
    assert settings.recall(tmp_path) is None


@pytest.mark.parametrize("left", ["", "{", "\0\0"])
def test_a_damaged_record_is_named_with_what_to_do(tmp_path: Path, left: str) -> None:
    chosen = settings.Settings(tmp_path, airflow_port=1, mlflow_port=2)
    for path in (chosen.state.servers, chosen.state.airflow.passwords):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(left)

    with pytest.raises(StorageError, match=r"servers\.json is damaged: run `brats down`"):
        settings.recall(tmp_path)
    with pytest.raises(StorageError, match=r"passwords\.json is damaged"):
        _ = chosen.password


def test_the_password_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    chosen = settings.Settings(tmp_path, airflow_port=1234, mlflow_port=5678)

    assert chosen.password == chosen.password
    assert len(chosen.password) >= 16
    assert stat.S_IMODE(chosen.state.airflow.passwords.stat().st_mode) == 0o600


def test_passwords_of_two_checkouts_differ(tmp_path: Path) -> None:
    one, other = (settings.Settings(tmp_path / name, airflow_port=1, mlflow_port=2) for name in ("one", "other"))

    assert one.password != other.password


def test_everything_listens_on_loopback_and_follows_the_chosen_port(tmp_path: Path) -> None:
    environment = settings.Settings(tmp_path, airflow_port=1234, mlflow_port=5678).environment()

    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:1234/execution/"
    assert environment["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5678"


def test_airflow_loads_the_plugin_of_the_checkout() -> None:
    environment = settings.Settings(CHECKOUT, airflow_port=1, mlflow_port=2).environment()

    assert (Path(environment["AIRFLOW__CORE__PLUGINS_FOLDER"]) / "brats_run_page.py").is_file()


def test_training_has_the_machine_for_itself_and_other_pools_as_many_slots_as_there_are_cores(tmp_path: Path) -> None:
    chosen = settings.Settings(tmp_path, airflow_port=1, mlflow_port=2)

    assert chosen.slots("gpu") == 1
    assert chosen.slots("cpu") == os.cpu_count()
