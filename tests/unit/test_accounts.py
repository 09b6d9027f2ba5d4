"""Passwords of accounts, and wrong calls of `brats accounts`."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from brats_ml.errors import ConfigError, StorageError
from brats_ml.orchestration.local import mlflow_access
from brats_ml.orchestration.local.passwords import ensure_passwords, renew_password


def test_a_password_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "state/passwords.json"
    file.parent.mkdir()
    file.write_text('{"admin": "of before"}')

    made = ensure_passwords(file, "admin", "viewer", "operator")

    assert made["admin"] == "of before"
    assert len({*made.values()}) == 3
    assert ensure_passwords(file, "operator", "viewer") == {name: made[name] for name in ("operator", "viewer")}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_new_password_replaces_that_of_one_account(tmp_path: Path) -> None:
    file = tmp_path / "passwords.json"
    before = ensure_passwords(file, "admin", "viewer")

    new = renew_password(file, "viewer")

    assert json.loads(file.read_text()) == {**before, "viewer": new}
    assert new != before["viewer"]


@pytest.mark.parametrize("content", ["", "[]", '{"admin": ""}', '{"admin": 1}', "{"])
def test_a_damaged_file_is_named_and_stays(tmp_path: Path, content: str) -> None:
    file = tmp_path / "passwords.json"
    file.write_text(content)

    with pytest.raises(StorageError, match=r"passwords\.json is damaged"):
        ensure_passwords(file, "admin")
    assert file.read_text() == content


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, "no MLflow server is named: set MLFLOW_TRACKING_URI"),
        ({"MLFLOW_TRACKING_URI": "sqlite:///a.db"}, "no MLflow server is named"),
        ({"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}, "only writer creates accounts in MLflow"),
    ],
)
def test_accounts_of_mlflow_need_a_server_and_a_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], sentence: str
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError, match=sentence):
        mlflow_access.prepare(tmp_path / "passwords.json")
    assert not (tmp_path / "passwords.json").exists()


def test_a_reset_of_mlflow_s_accounts_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "brats_ml", "accounts", "mlflow", "--reset", "reader", "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert done.stderr == "brats: --reset and --migrate are for Airflow: leave them out\n"
