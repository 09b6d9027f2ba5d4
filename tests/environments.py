"""Python environments with packages that tests compare with and that cannot be installed next to ours."""

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[1]


def python_with(name: str) -> Path:
    """Return the Python of an environment with tests/requirements/<name>.txt. The first call creates it.

    Raises:
        subprocess.CalledProcessError: The environment cannot be created, for example without a network.
    """
    return _python_with(ROOT / f"tests/requirements/{name}.txt", name, "--require-hashes")


def _python_with(requirements: Path, name: str, *options: str) -> Path:
    home = ROOT / ".cache" / f"{name}-{sha256(requirements.read_bytes()).hexdigest()[:12]}"
    python, complete = home / "bin/python", home / ".complete"
    home.parent.mkdir(exist_ok=True)
    with FileLock(home.with_suffix(".lock")):
        if not complete.exists():
            uv = shutil.which("uv") or shutil.which("uv", path=ROOT / ".uv/bin")
            install = ["install", "-q", *options, "-r", str(requirements)]
            create = [sys.executable, "-m", "venv", "--clear", str(home)]
            if uv:
                create = [uv, "venv", "-q", "--clear", "--python", sys.executable, str(home)]
                fill = [uv, "pip", *install, "--python", str(python)]
            else:
                fill = [str(python), "-m", "pip", *install]
            for command in (create, fill):
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=500)
            complete.touch()
    return python


def python_or_skip(name: str, requirements: Path | None = None) -> Path:
    """Return the Python of an environment, or skip the test with the reason if it cannot be created.

    Args:
        name: The environment.
        requirements: A list of packages, such as that of a registered model; by default that of `python_with`.
    """
    try:
        return python_with(name) if requirements is None else _python_with(requirements, name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the environment for {name} cannot be created: {error.stderr.strip().splitlines()[-1]}")
