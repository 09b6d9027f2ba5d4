"""What every benchmark shares: a table for people, one JSON line for machines, and an environment for each peer.

A benchmark is run as `python benchmarks/NAME.py`; its last line is one JSON object of named figures.
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
    """Print rows that share their keys; floats with three significant digits."""
    drawn = Table(*map(str, rows[0]), title=title)
    for row in rows:
        drawn.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=None if sys.stdout.isatty() else 180).print(drawn)


def report(**figures: float | str) -> None:
    """Print the figures as one JSON object, which has to be the last line of a benchmark."""
    print(json.dumps(figures))


def peer_python(name: str, requirements: Sequence[str]) -> Path:
    """Return the interpreter of an environment that holds a peer's packages, made on the first call.

    Args:
        name: Of the peer; the environment lies in .brats/peers/<name>.
        requirements: What to install, pinned. Other requirements than last time make the environment anew. Wheels in
            folders that pip is told of by PIP_FIND_LINKS are taken too, such as PyTorch without CUDA.
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
