"""Functions that all benchmarks share: print tables, print the result as JSON, create environments for other packages.

Run a benchmark with `python benchmarks/NAME.py`. Its last line is a JSON object of named figures.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from brats_ml import environment

environment.set_defaults()
ROOT = Path(__file__).resolve().parents[1]


def table(rows: Sequence[Mapping[str, object]], *, title: str = "") -> None:
    """Print rows with the same keys as a table, floats with three significant digits."""
    printed = Table(*map(str, rows[0]), title=title)
    for row in rows:
        printed.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 180).print(printed)


def report(**figures: float | str) -> None:
    """Print the figures as one JSON object. This must be the last line of a benchmark."""
    print(json.dumps(figures))


def peer_python(name: str, requirements: Sequence[str]) -> Path:
    """Return the Python of an environment with the packages of a peer. The first call creates the environment.

    Args:
        name: The name of the peer. The environment is in .brats/peers/<name>.
        requirements: The pinned packages to install. If they changed, the environment is created again. Wheels in the
            folders of PIP_FIND_LINKS are used as well, for example PyTorch without CUDA.
    """
    home = ROOT / ".brats/peers" / name
    installed = home / "requirements.txt"
    wanted = "\n".join(requirements) + "\n"
    python = home / "bin/python"
    if not installed.is_file() or installed.read_text() != wanted:
        uv = shutil.which("uv") or str(ROOT / ".uv/bin/uv")
        subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(home)], check=True)
        folders = [part for link in os.environ.get("PIP_FIND_LINKS", "").split() for part in ("--find-links", link)]
        subprocess.run([uv, "pip", "install", "-q", "--python", str(python), *folders, *requirements], check=True)
        installed.write_text(wanted)
    return python
