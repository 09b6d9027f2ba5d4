"""Rules for the layout of the repository."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]


def tracked(*patterns: str) -> list[str]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return listed.stdout.split()


@pytest.mark.parametrize("name", ["mlflow", "docker"])
def test_a_folder_named_like_a_library_holds_no_python(name: str) -> None:
    """An `__init__.py` there would hide the library from Python in the root of the repository."""
    assert list((ROOT / name).rglob("*.py")) == []
    assert not (ROOT / f"{name}.py").exists()


def test_import_mlflow_finds_the_library() -> None:
    found = importlib.util.find_spec("mlflow")

    assert found is not None
    assert found.origin is not None
    assert ROOT / "mlflow" not in Path(found.origin).parents


def test_no_module_has_more_than_300_lines() -> None:
    long = [
        path
        for path in tracked("brats_ml/*.py", "dags/*.py", "plugins/*.py")
        if len((ROOT / path).read_text().splitlines()) > 300
    ]

    assert long == []


def test_git_tracks_no_volume_and_no_dvc_lock() -> None:
    assert tracked("*.nii", "*.nii.gz", "*.mha", "dvc.lock") == []


def test_the_wheel_ships_every_file_of_the_package_and_the_marker_of_its_types(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    shipped = set(ZipFile(wheel).namelist())

    assert set(tracked("brats_ml")) <= shipped
    assert "brats_ml/py.typed" in shipped
