"""What the command line imports before it knows the command."""

import subprocess
import sys
from pathlib import Path

from tests.contract.heavy_libraries import HEAVY

ROOT = Path(__file__).parents[2]
LIST_MODULES = "import brats_ml.cli, sys; print(*sys.modules)"


def test_the_command_line_starts_without_a_heavy_library() -> None:
    listed = subprocess.run([sys.executable, "-c", LIST_MODULES], cwd=ROOT, capture_output=True, text=True, check=True)
    packages = {module.partition(".")[0] for module in listed.stdout.split()}

    assert "brats_ml" in packages
    assert not packages & (HEAVY | {"numpy", "pandas"})
