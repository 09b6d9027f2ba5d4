"""What commands write is their user's alone, whatever the shell allows."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from brats_ml import environment, privacy
from brats_ml.config.edit import override
from brats_ml.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def permissions(folder: Path) -> dict[str, int]:
    """Return what group and others may do with each file and folder below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mode & 0o077
        for path in folder.rglob("*")
        if not path.is_symlink()
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with two small synthetic patients, and with open folders from before."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    shutil.copy(ROOT / "params.yaml", folder)
    override(folder / "params.yaml", ["phantom.cases=2", "phantom.shape=[32, 32, 32]"])
    for name in ("data", ".brats", "predictions"):
        (folder / name).mkdir()
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.parametrize(("asked", "open_to"), [(None, 0o000), ("027", 0o050)])
def test_commands_write_for_their_user_alone_or_for_the_group_that_was_asked_for(
    checkout: Path, asked: str | None, open_to: int
) -> None:
    variables = {name: value for name, value in os.environ.items() if name != environment.UMASK.name}
    variables |= {"PYTHONPATH": str(ROOT)} | ({environment.UMASK.name: asked} if asked else {})
    for command in ("source", "acquire", "inbox"):
        subprocess.run(
            [sys.executable, "-m", "brats_ml", command], cwd=checkout, env=variables, umask=0o022, check=True
        )
    found = permissions(checkout)
    (params,) = [name for name in found if name == "params.yaml"]
    del found[params]

    assert {"data/listing.json", "data/raw", "inbox", ".brats", "predictions"} <= found.keys()
    assert any(name.endswith("_t1.nii.gz") for name in found)
    assert {name: oct(bits) for name, bits in found.items() if bits & ~open_to} == {}
    assert {name for name, bits in found.items() if bits & 0o050} == (set(found) if asked else set())


@pytest.mark.parametrize("value", ["", "none", "0o77", "777", "1", "877", "-77"])
def test_a_mask_that_is_none_or_locks_its_owner_out_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(environment.UMASK.name, value)

    with pytest.raises(ConfigError, match=r"BRATS_UMASK is .*: set it to an octal number"):
        privacy.umask()


@pytest.mark.parametrize(("mode", "left"), [(0o755, 0o700), (0o2775, 0o2700), (0o500, 0o500)])
def test_a_folder_loses_what_a_new_one_would_lack_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, left: int
) -> None:
    monkeypatch.delenv(environment.UMASK.name, raising=False)
    folder = tmp_path / "data"
    folder.mkdir()
    folder.chmod(mode)

    privacy.restrict([folder, tmp_path / "missing"])

    assert stat.S_IMODE(folder.stat().st_mode) == left
