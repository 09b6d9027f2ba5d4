"""Files that describe a run and its results, small enough to be kept for good: dvc.lock, params.yaml, decisions."""

from collections.abc import Iterable
from pathlib import Path

from brats_ml import files
from brats_ml.workspace.artefact import DECISIONS, DVC_LOCK, DVC_YAML, PARAMS
from brats_ml.workspace.state import RunRecord


def keep(workspace: Path, record: Path, *, tracked: Iterable[str]) -> None:
    """Copy the files that describe a run from its workspace to its record.

    Args:
        workspace: A DVC repository.
        record: Folder of the copies; each has the same relative path there as in the workspace.
        tracked: The files that git tracks in the workspace; next to a dvc.yaml among them there may be a dvc.lock.
    """
    for name in _described(tracked):
        if (workspace / name).is_file():
            files.copy(workspace / name, record / name)
    if (workspace / DECISIONS).is_dir():
        files.copy(workspace / DECISIONS, record / DECISIONS)


def restore(record: Path, workspace: Path) -> None:
    """Copy back what `keep` copied, except into folders that the workspace lacks."""
    for name in (PARAMS, DVC_LOCK):
        for path in record.rglob(name):
            target = workspace / path.relative_to(record)
            if target.parent.is_dir():
                files.copy(path, target)
    if (record / DECISIONS).is_dir():
        files.copy(record / DECISIONS, workspace / DECISIONS)


def shrink(record: RunRecord) -> None:
    """Remove what names results from a record; what the run worked on stays."""
    kept = {record.pin, record.lock}
    for path in sorted(record.path.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path not in kept and path.name != PARAMS:
            path.unlink()


def lock_files(record: Path) -> list[Path]:
    """Return every dvc.lock of a record; none before the first stage of the run has finished."""
    return list(record.rglob(DVC_LOCK))


def _described(tracked: Iterable[str]) -> list[Path]:
    """Return the relative path of every params.yaml, and of the dvc.lock that belongs to each dvc.yaml."""
    paths = [Path(name) for name in tracked]
    parameters = [path for path in paths if path.name == PARAMS]
    return parameters + [path.with_name(DVC_LOCK) for path in paths if path.name == DVC_YAML]
