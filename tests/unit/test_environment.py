"""Variables that libraries read as they are imported."""

import os

import pytest

from brats_ml import environment


def test_what_the_user_set_stays_and_the_rest_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")

    environment.set_defaults()

    found = {name: os.environ[name] for name in environment.DEFAULTS}
    assert found == environment.DEFAULTS | {"TF_CPP_MIN_LOG_LEVEL": "0"}


def test_the_login_in_the_address_of_mlflow_moves_to_the_variables_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://jo%40x:SE:CR%2FET@host:5000/mlflow")
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "restored after the test")
        monkeypatch.delenv(name)

    environment.separate_credentials()

    assert environment.MLFLOW_TRACKING_URI.read() == "https://host:5000/mlflow"
    assert environment.MLFLOW_TRACKING_USERNAME.read() == "jo@x"
    assert environment.MLFLOW_TRACKING_PASSWORD.read() == "SE:CR/ET"


@pytest.mark.parametrize("address", ["http://127.0.0.1:5000", "sqlite:////data/mlflow.db", "postgresql://u:p@host/db"])
def test_any_other_address_of_mlflow_stays(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)

    environment.separate_credentials()

    assert environment.MLFLOW_TRACKING_URI.read() == address
    assert environment.MLFLOW_TRACKING_PASSWORD.read() is None
