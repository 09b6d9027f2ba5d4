"""TensorFlow's start-up lines do not reach the terminal, and all that it says otherwise does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, sys
from brats_ml.cli.start_up import QuietImport
sys.meta_path.insert(0, QuietImport())
os.write(2, b"before\\n")
import tensorflow
os.write(2, b"I0000 1 port.cc:153] oneDNN custom operations are on. Later.\\n")
"""
START_UP = "I0000 1 port.cc:153] oneDNN custom operations are on. More."
WARNING = "W0000 1 gpu_device.cc:1] Cannot dlopen some GPU libraries"


@pytest.mark.parametrize(
    ("end", "status", "later"),
    [
        ("", 0, ["I0000 1 port.cc:153] oneDNN custom operations are on. Later."]),
        ("os.abort()", -6, []),  # as on a processor without AVX
    ],
)
def test_only_the_start_up_lines_of_an_import_are_left_out(
    tmp_path: Path, end: str, status: int, later: list[str]
) -> None:
    lines = f"{START_UP}\n{WARNING}\n1 %\r2 %\nlast word \xff\n"
    # It writes to the file descriptor, as libraries in C++ do.
    (tmp_path / "tensorflow.py").write_text(f"import os\nos.write(2, {lines.encode('latin-1')!r})\n{end}\n")
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, check=False)

    assert done.returncode == status
    assert done.stderr.decode("latin-1").split("\n")[:-1] == ["before", WARNING, "1 %\r2 %", "last word \xff", *later]


def test_an_import_works_without_a_stderr(tmp_path: Path) -> None:
    (tmp_path / "tensorflow.py").write_text("")
    program = PROGRAM.replace("os.write", "(lambda *_: None)")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    closed = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, program]

    assert subprocess.run(closed, env=environment, check=False).returncode == 0
