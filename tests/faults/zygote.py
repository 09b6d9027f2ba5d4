"""Commands in forked children of a process that has imported everything, so that each costs a fraction of a second."""

import importlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from brats_ml import environment
from tests.faults.shim import Point, Shim

# A command on the tiny workspaces takes a second or two.
LIMIT_S = 300.0
IMPORTED = (
    "keras", "mlflow.pyfunc", "skops.io", "tensorflow", "brats_ml.cli",
    *(f"brats_ml.actions.{name}" for name in ("gate", "promote", "publish", "score", "unscored")),
    *(f"brats_ml.models.{name}" for name in ("segmentation", "survival")),
)  # fmt: skip
Command = Callable[[], None]


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        status: The exit status, or the negative number of the signal that ended it.
        said: What it wrote on stderr.
        points: Its operations on the disk; a killed child cannot report them.
    """

    status: int
    said: str
    points: list[Point] = field(default_factory=list)

    @property
    def sentence(self) -> str | None:
        """The one sentence of an expected error, None where the child ended otherwise."""
        lines = [line for line in self.said.splitlines() if line.startswith("brats: ")]
        return lines[0] if self.status == 1 and len(lines) == 1 and "Traceback" not in self.said else None

    @property
    def clear(self) -> bool:
        """Whether it succeeded or said in one sentence why not."""
        return self.status == 0 or self.sentence is not None


def warm_up(folder: Path) -> None:
    """Import what commands import, and use a store of MLflow once; no thread may start, since a child lacks it."""
    for name in IMPORTED:
        importlib.import_module(name)
    from brats_ml.adapters.source_code import code_digest
    from brats_ml.adapters.tracking.own_store import embedded_store
    from brats_ml.adapters.tracking.registry import Registry
    from brats_ml.adapters.tracking.reigns import MODELS
    from brats_ml.adapters.tracking.runs import MlflowTracker
    from brats_ml.workspace.state import State

    code_digest("brats_ml.actions.score")
    uri = embedded_store(State(folder))
    with MlflowTracker(uri).run("warm", name="warm", tags={}) as run:
        run.log_params({"warm": 1})
    Registry(uri).get(MODELS["segmentation"], 1)


def brats(*arguments: str) -> Command:
    """Return what runs the command line `brats` with these arguments."""

    def command() -> None:
        from brats_ml import cli

        sys.argv = ["brats", *arguments]
        cli.main()

    return command


def in_child(work: Callable[[], list[str]]) -> list[str]:
    """Return what a function returns in a child, which may start threads and run networks.

    Raises:
        RuntimeError: It failed; stderr says how.
    """
    with tempfile.NamedTemporaryFile() as file:
        child = os.fork()
        if not child:
            status = 1
            try:
                Path(file.name).write_text(json.dumps(work()))
                status = 0
            except BaseException:  # a child must not go on as its parent
                traceback.print_exc()
            finally:
                os._exit(status)
        if os.waitpid(child, 0)[1]:
            raise RuntimeError("a child failed")
        found: list[str] = json.loads(Path(file.name).read_text())
        return found


def run(command: Command, shim: Shim | None = None) -> Ended:
    """Run a command in a child with a shim, and wait for its end."""
    with tempfile.TemporaryDirectory() as name:
        said, listed = Path(name, "said"), Path(name, "points")
        child = os.fork()
        if not child:
            _become(command, shim, said, listed)
        status = _wait(child)
        points = [Point(**point) for point in json.loads(listed.read_text())] if listed.exists() else []
        return Ended(status, said.read_text(errors="replace"), points)


def _become(command: Command, shim: Shim | None, said: Path, listed: Path) -> None:
    status = 1
    output = said.open("w")
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    sys.stdout = sys.stderr = output
    try:
        for name in (environment.MLFLOW_TRACKING_URI, environment.STATE, environment.OUTCOME):
            os.environ.pop(name.name, None)
        if shim is not None:
            shim.install()
        command()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # the parent reads the traceback
        traceback.print_exc()
    finally:
        with suppress(Exception):
            output.flush()
        if shim is not None:
            shim.at = None
            listed.write_text(json.dumps([asdict(point) for point in shim.points]))
        os._exit(status)


def _wait(child: int) -> int:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGALRM
