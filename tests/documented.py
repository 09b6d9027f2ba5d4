"""Commands of the documentation, which tests run as they are typed."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]


def commands(page: str, name: str, *, language: str = "sh") -> str:
    """Return the block of commands, or of another language, that follows the comment `<!-- name -->` on a page."""
    text = (ROOT / "docs" / page).read_text()
    found = re.search(rf"<!-- {re.escape(name)} -->\n```{language}\n(.*?)```", text, re.DOTALL)
    assert found, f"{page} has no block {name}"
    return found[1]


def run(script: str, *, folder: Path, variables: Mapping[str, str]) -> str:
    """Run commands in a folder as a shell does that stops at the first error, and return what they print."""
    programs = folder.with_name(f"{folder.name}.programs")
    programs.mkdir(exist_ok=True)
    brats = programs / "brats"
    brats.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m brats_ml "$@"\n')
    brats.chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", **variables}
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
