"""What `brats up` prepares before it starts a server."""

import shutil
from pathlib import Path

import pytest

from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.cli.servers import up
from brats_ml.errors import StorageError
from brats_ml.orchestration.local.settings import local_state

ROOT = Path(__file__).parents[2]


def test_mlflow_s_store_is_whole_before_its_server_starts(tmp_path: Path) -> None:
    """A command that reads the store while the server starts must not call it damaged."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("dags", "mlflow"):
        shutil.copytree(ROOT / name, tmp_path / name)
    state = local_state(tmp_path)
    state.path.mkdir()
    state.servers.write_text("{")  # it ends the command before the first server

    with pytest.raises(StorageError, match=r"servers\.json is damaged"):
        up(tmp_path)

    assert state.mlflow.database.is_file()
    assert embedded_store(state) == f"sqlite:///{state.mlflow.database}"
