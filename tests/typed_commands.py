"""Type `brats` commands in a process of their own, and see how they end and what they import."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.contract.heavy_libraries import HEAVY

ROOT = Path(__file__).parents[1]
# `brats fetch` and `brats prune` read DVC's settings, which is quick; a repository of DVC takes a second.
SLOW = HEAVY - {"dvc"} | {"dvc.repo", "numpy", "pandas", "scipy"}
# Runs the commands of stdin one after another in one process, so a heavy module that one of them imports stays loaded.
PROGRAM = """
import contextlib, io, json, os, sys, traceback
from brats_ml.cli import main

for folder, arguments in json.load(sys.stdin):
    os.chdir(folder)
    sys.argv = ["brats", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as end:
            status = end.code
        except BaseException:
            status = traceback.format_exc()
    print(json.dumps({"status": status, "out": out.getvalue(), "err": err.getvalue(), "modules": list(sys.modules)}))
"""


@dataclass(frozen=True)
class Typed:
    """How a command ended."""

    status: int
    out: str
    err: str
    modules: frozenset[str]


def type_commands(commands: Sequence[tuple[Path, str]]) -> list[Typed]:
    """Return how each command line ended in its folder."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([(str(folder), line.split()) for folder, line in commands]),
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return [Typed(one["status"], one["out"], one["err"], frozenset(one["modules"])) for one in records]
