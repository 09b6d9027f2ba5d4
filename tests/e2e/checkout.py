"""A copy of this repository that is run from outside, as a newcomer would."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkout:
    """A copy, and the environment of what runs in it."""

    root: Path
    environment: dict[str, str]

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command, output and errors together, in a process group of its own."""
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, status: int = 0) -> str:
        """Run a command to its end, which has to have `status`, and return what it printed."""
        with self.start(*command) as process:
            told, _ = process.communicate()
        assert process.returncode == status, f"{' '.join(command)} ended with {process.returncode}:\n{told}"
        return told

    def wait_for(self, condition: Callable[[], bool], *, limit_s: float) -> None:
        """Wait until something is true."""
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, f"it did not come true within {limit_s} s"
            time.sleep(0.02)

    def brats(self, *arguments: str, status: int = 0) -> str:
        """Run a `brats` command."""
        return self.run(sys.executable, "-m", "brats_ml", *arguments, status=status)

    def dvc(self, *arguments: str) -> str:
        """Run a `dvc` command."""
        return self.run(sys.executable, "-m", "dvc", *arguments)
