"""The room of a reproduction: a clone at a commit, with a state of its own, which shares nothing but DVC's cache."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from brats_ml import environment, files, locks
from brats_ml.actions.reproduce_origin import Origin
from brats_ml.adapters import provenance
from brats_ml.adapters.tracking.version import Version
from brats_ml.errors import BratsError, ConfigError, ModelError, ServiceError, StorageError
from brats_ml.orchestration.runs import clones, outcomes
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.processes import Child
from brats_ml.workspace import Workspace
from brats_ml.workspace.artefact import DVC_LOCK, PARAMS
from brats_ml.workspace.state import OUTCOME

GRACE_S = 4.0


class Room:
    """A clone in which stages run again.

    Attributes:
        ws: The clone.
        keep: Whether the folder stays.
    """

    def __init__(self, folder: Path, *, keep: bool) -> None:
        """Keep the folder of the clone, and whether it stays."""
        self.ws = Workspace(folder)
        self.keep = keep

    def run(self, name: str, command: str) -> None:
        """Run the command of a stage to its end, as DVC does but without DVC, which would restore its results.

        Raises:
            ModelError: It failed.
            StorageError: The disk is full, or fails.
            ServiceError: It failed, and another try may succeed.
        """
        report = self.ws.state.path / f"{name}{OUTCOME}"
        report.parent.mkdir(exist_ok=True)
        report.unlink(missing_ok=True)
        print(f"{name} runs again", flush=True)
        child = Child(["sh", "-c", f"exec {command}"], folder=self.ws.root, variables=self._variables(report))
        last = "it printed no message"
        try:
            for last in child.lines():
                print(f"  {last}", flush=True)
        finally:
            child.end(grace_s=GRACE_S)
        if child.wait():
            found = outcomes.read(report)
            raise _failure(name, found.sentence if found else last, found)

    def _variables(self, report: Path) -> dict[str, str]:
        """Return the environment of a stage: no ledger, no store and no cache of results but those of this room."""
        root = str(self.ws.root)
        return {
            environment.ROOT.name: root,
            environment.STATE.name: str(self.ws.state),
            environment.OUTCOME.name: str(report),
            environment.MLFLOW_TRACKING_URI.name: "",
            # The process that started this one holds the lock until its end.
            environment.WORK_LOCK.name: "",
            "PATH": environment.search_path(Path(sys.executable).parent),
            "PYTHONPATH": root,
        }

    def dvc(self, *arguments: str) -> None:
        """Run a command of DVC in the clone.

        Raises:
            ServiceError: DVC refuses; the sentence has its last message.
            StorageError: The disk is full.
        """
        clones.call([sys.executable, "-m", "dvc", *arguments], folder=self.ws.root)

    def has_remote(self) -> bool:
        """Return whether DVC has a remote to fetch from."""
        return bool(clones.dvc_settings(self.ws.root)["core"].get("remote"))

    def digest(self, out: str) -> str | None:
        """Return DVC's digest of a file or folder of the clone, None where there is none."""
        return provenance.path_digest(self.ws.root, out)


def _failure(name: str, sentence: str, outcome: outcomes.Outcome | None) -> BratsError:
    said = f"{name} failed, so nobody knows whether it would agree: {sentence}"
    if outcome is not None and outcome.error == StorageError.__name__:
        return StorageError(said, transient=outcome.transient)
    return ServiceError(said) if outcome is not None and outcome.transient else ModelError(said)


@contextmanager
def room(ws: Workspace, version: Version, commit: str, *, keep: bool) -> Iterator[Room]:
    """Yield a room with the code of a commit; it is removed at the end unless `keep` is or becomes True.

    A room that an earlier reproduction of the same version left is removed first.

    Raises:
        ModelError: The repository has no such commit.
        ServiceError: The repository cannot be cloned.
        StorageError: The disk is full.
    """
    locations = Locations.from_environment(ws.root)
    folder = ws.state.reproduction(version.name, version.number)
    holder = f"another process, which reproduces {version}"
    with locks.exclusive(ws.state.reproduction_lock(version.name, version.number), holder=holder), locations.at_work():
        files.remove_whole(folder)
        made = Room(folder, keep=keep)
        try:
            _clone(locations, version, commit, folder)
            yield made
        finally:
            if not made.keep:
                with suppress(FileNotFoundError):
                    files.remove_whole(folder)


def _clone(locations: Locations, version: Version, commit: str, folder: Path) -> None:
    try:
        clones.clone(locations, commit, folder)
    except ConfigError as error:
        raise ModelError(
            f"{version} was made at commit {commit}, which {locations.repository} does not have ({error}): fetch it "
            "from a clone that still has it"
        ) from error


def furnish(made: Room, origin: Origin, ws: Workspace) -> None:
    """Put the params.yaml and dvc.lock of a run into a room, and the verdicts on bfloat16 of the checkout."""
    for name in (PARAMS, DVC_LOCK):
        files.copy(origin.folder / name, made.ws.root / name)
    for verdict in ws.state.graphs.verdicts():
        target = made.ws.state.graphs.path / verdict.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(verdict, target)
