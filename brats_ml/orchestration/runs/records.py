"""What describes a run and its results, small enough to be kept for good: dvc.lock, params.yaml, decisions."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from brats_ml.workspace.artefact import DECISIONS, DVC_LOCK, DVC_YAML, PARAMS


def keep(workspace: Path, record: Path, *, tracked: Iterable[str]) -> None:
    """Copy what describes a run from its workspace to its record.

    Args:
        workspace: A DVC repository.
        record: Where the copies go, each under its path in the workspace.
        tracked: The files that git tracks there; the folder of any dvc.yaml among them may have a dvc.lock.
    """
    for name in described(tracked):
        if (workspace / name).is_file():
            target = record / name
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}")
            shutil.copyfile(workspace / name, temporary)
            temporary.replace(target)
    if (workspace / DECISIONS).is_dir():
        shutil.copytree(workspace / DECISIONS, record / DECISIONS, dirs_exist_ok=True)


def restore(record: Path, workspace: Path) -> None:
    """Copy what `keep` kept back; folders that the workspace lacks are left out."""
    for name in (PARAMS, DVC_LOCK):
        for path in record.rglob(name):
            target = workspace / path.relative_to(record)
            if target.parent.is_dir():
                shutil.copyfile(path, target)
    if (record / DECISIONS).is_dir():
        shutil.copytree(record / DECISIONS, workspace / DECISIONS, dirs_exist_ok=True)


def described(tracked: Iterable[str]) -> list[Path]:
    """Return the paths, relative to a repository's root, of every params.yaml and of the dvc.lock of every dvc.yaml."""
    paths = [Path(name) for name in tracked]
    parameters = [path for path in paths if path.name == PARAMS]
    return parameters + [path.with_name(DVC_LOCK) for path in paths if path.name == DVC_YAML]
