"""The random survival forest with scikit-survival, which is GPL-3 and lies in an environment of its own."""

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "tests/requirements/scikit-survival.txt"


def forest_python() -> Path:
    """Return the Python that has scikit-survival, in an environment that is made on the first call."""
    home = ROOT / ".cache" / f"scikit-survival-{sha256(REQUIREMENTS.read_bytes()).hexdigest()[:12]}"
    python, complete = home / "bin/python", home / ".complete"
    home.parent.mkdir(exist_ok=True)
    with FileLock(home.with_suffix(".lock")):
        if not complete.exists():
            uv = shutil.which("uv") or shutil.which("uv", path=ROOT / ".uv/bin")
            if uv is None:
                pytest.skip("uv is not there, which makes the environment of scikit-survival")
            fill = ["pip", "install", "-q", "--require-hashes", "-r", str(REQUIREMENTS), "--python", str(python)]
            for command in (["venv", "-q", "--clear", "--python", sys.executable, str(home)], fill):
                try:
                    subprocess.run([uv, *command], check=True, capture_output=True, text=True, timeout=600)
                except subprocess.CalledProcessError as error:
                    reason = error.stderr.strip().splitlines()[-1]
                    pytest.skip(f"the environment of scikit-survival cannot be made: {reason}")
            complete.touch()
    return python


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    command = [str(forest_python()), str(ROOT / "tests/survival_forest_program.py")]
    done = subprocess.run(
        [*command, str(tmp_path_factory.mktemp("forest"))],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_the_forest_is_searched_and_tells_curves_and_groups(found: dict[str, Any]) -> None:
    assert found["best"]["min_samples_leaf"] in (5, 15)
    assert found["sums"] == pytest.approx([1, 1])
    assert found["falling"]


def test_a_stored_forest_tells_the_same(found: dict[str, Any]) -> None:
    assert found["same"]


def test_concordance_and_cox_are_those_of_scikit_survival(found: dict[str, Any]) -> None:
    ours, theirs = found["concordance"]
    assert ours == pytest.approx(theirs)
    assert ours > 0.6
    ours, theirs = found["cox"]
    assert ours == pytest.approx(theirs, abs=1e-3)
