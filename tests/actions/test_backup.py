"""The backup and the restore of one machine, by the commands of docs/how-to/back-up.md."""

import shutil
from pathlib import Path

import pytest

from brats_ml import files
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.workspace import Workspace
from tests import documented
from tests.actions.registered_models import TRAINED, champions_of, make_champion, own_store, register

PAGE, WHERE = "how-to/back-up.md", "/mnt/backup/brats"


def commands(name: str, backup: Path) -> str:
    script = documented.commands(PAGE, name)
    assert WHERE in script
    return script.replace(WHERE, str(backup))


@pytest.mark.slow
def test_a_checkout_comes_back_whole_in_an_empty_folder(tmp_path: Path) -> None:
    root, lost = tmp_path / "checkout", tmp_path / "lost"
    ws = Workspace(root)
    model = ws.state.mlflow.artifacts / "model"
    shutil.copytree(TRAINED / "registered/segmentation", model)
    shutil.copy(documented.ROOT / "params.yaml", root)
    files.write_json(ws.state.splits.path, {"patients": {}})
    cached = ws.state.downloads / "volume"
    cached.parent.mkdir()
    cached.write_text("made again")
    with own_store():
        register(embedded_store(ws.state), "segmentation", 1, model)
        make_champion(ws, "segmentation", 1)
    files.write_json(ws.state.mlflow.passwords, {"writer": "secret"}, mode=0o600)

    documented.run(commands("backup: one machine", tmp_path / "backup"), folder=root, variables={})
    root.rename(lost)
    root.mkdir()
    printed = documented.run(commands("restore: one machine", tmp_path / "backup"), folder=root, variables={})

    shutil.rmtree(lost / ".brats/downloads")
    assert files.digest_tree(root) == files.digest_tree(lost)
    assert printed.count(": OK") == 3
    assert ws.state.mlflow.passwords.stat().st_mode & 0o777 == 0o600
    with own_store():
        champion = champions_of(ws).of(MODELS["segmentation"])
        assert champion is not None
        assert champion.number == 1
        assert champions_of(ws).repair(MODELS["segmentation"]) is None
