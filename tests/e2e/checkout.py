"""A copy of this repository in which tests run commands as a user does."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository and the environment of its commands."""

    root: Path
    environment: dict[str, str]

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in a new session, with output and errors in one stream."""
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
        """Run a command, check that its exit status is `status`, and return its output."""
        with self.start(*command) as process:
            output, _ = process.communicate()
        assert process.returncode == status, f"{' '.join(command)} ended with {process.returncode}:\n{output}"
        return output

    def wait_for(self, condition: Callable[[], bool], *, limit_s: float) -> None:
        """Wait until a condition is true."""
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, f"the condition was not true within {limit_s} s"
            time.sleep(0.02)

    def brats(self, *arguments: str, status: int = 0) -> str:
        """Run a `brats` command."""
        return self.run(sys.executable, "-m", "brats_ml", *arguments, status=status)

    def dvc(self, *arguments: str) -> str:
        """Run a `dvc` command."""
        return self.run(sys.executable, "-m", "dvc", *arguments)
