"""Train a peer in a process and an environment of its own, in turns with ours."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path


class Peer:
    """A process that reads a number of steps from each line, trains and answers with the time; until then it waits."""

    def __init__(self, command: Sequence[str | Path], *, samples: int, steps: int) -> None:
        """Start the process.

        Args:
            command: The Python of the environment, the script and its arguments.
            samples: Samples per step.
            steps: Steps per round.
        """
        self.samples, self.steps = samples, steps
        self._process = subprocess.Popen(
            [*map(str, command)],
            env=os.environ | {"KERAS_BACKEND": "tensorflow"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def train(self, steps: int) -> float:
        """Train for a number of steps and return the time, in s."""
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("the process of the peer has no pipes")
        print(steps, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("the process of a peer ended; its message is above")
        return float(answer)

    def end(self) -> None:
        """End the process and wait for it."""
        self._process.communicate()
