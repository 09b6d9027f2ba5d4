"""A workspace for each DAG run, a clone at a pinned revision that shares DVC's cache, and a record that outlives it."""

import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from brats_ml import files, locks
from brats_ml.config.edit import Change
from brats_ml.errors import MissingInputError, StorageError
from brats_ml.orchestration.runs import clones, records
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.workspace.state import RunRecord

LOG = logging.getLogger(__name__)
# A file system allows 255 characters, and a temporary name adds 35.
LONGEST_NAME = 200
# A mark in a workspace that was created as a whole. Before there were marks, a killed `close` left some of them torn.
WHOLE = ".git/brats-whole"


@dataclass(frozen=True)
class Prepared:
    """What a form did to a clone.

    Attributes:
        skipped: Addresses of the stages that it leaves out, sorted.
        changes: What it changed in params.yaml.
    """

    skipped: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Pin:
    """The revision and form of a run, fixed at its start so that any task can be run again, and how the run ended.

    Attributes:
        revision: Full hash of the commit.
        asked: The revision as the form has it.
        skipped: Addresses of the stages that the form leaves out, sorted.
        changes: What the form changed in params.yaml.
        closed: Whether the run has come to its end.
        promoted: Whether a model of the run became champion.
        pruned: Whether the results of the run were removed since it was last opened.
    """

    revision: str
    asked: str
    skipped: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    closed: bool = False
    promoted: bool = False
    pruned: bool = False


@dataclass(frozen=True)
class Run:
    """One DAG run, its workspace and its record."""

    locations: Locations
    dag_id: str
    run_id: str

    @classmethod
    def all(cls, locations: Locations, *, damaged: bool = True) -> list[Self]:
        """Return the runs that have a record, the least recently used first.

        Args:
            locations: Where the records are.
            damaged: Whether a damaged record counts, or is left out with a warning.

        Raises:
            StorageError: A record is damaged and counts.
        """
        runs = []
        for record in locations.state.records():
            try:
                runs.append(cls(locations, record.path.parent.name, _read(record)["run_id"]))
            except StorageError as error:
                if damaged:
                    raise
                LOG.warning("%s", error)
        return runs

    @property
    def key(self) -> str:
        """The DAG and the run, as MLflow tags and logs name it."""
        return f"{self.dag_id}/{self.run_id}"

    @property
    def record(self) -> RunRecord:
        """Folder of run.json and, after the run is closed, of its dvc.lock, params.yaml and decisions."""
        return self.locations.state.record(self.dag_id, slug(self.run_id))

    @property
    def workspace(self) -> Path:
        """The clone."""
        return self.locations.state.workspace(self.dag_id, slug(self.run_id))

    def pinned(self) -> Pin | None:
        """Return what the run works on, None before its first task."""
        if not self.record.pin.is_file():
            return None
        values = _read(self.record)["pin"]
        changes = tuple(Change(**change) for change in values.get("changes", ()))
        return Pin(**{**values, "skipped": tuple(values["skipped"]), "changes": changes})

    def pin(self, asked: str, prepare: Callable[[Path], Prepared]) -> Pin:
        """Fix the revision of the run and create its workspace; a second call changes nothing, even after `forget`.

        Args:
            asked: A branch, tag or commit of the repository.
            prepare: Gets the new clone, sets its parameters and checks it.

        Raises:
            ConfigError: There is no such revision, or `prepare` raises it.
            ServiceError: The repository cannot be reached.
            StorageError: The file system of the state keeps no locks, or keeps them from other hosts.
        """
        locks.check(self.locations.state.path)
        with self._locked():
            known = self.pinned()
            if known is None:
                with self._cloned(asked) as (clone, revision):
                    prepared = prepare(clone)
                    known = Pin(revision, asked, skipped=prepared.skipped, changes=prepared.changes)
                    records.keep(clone, self.record.path, tracked=clones.tracked(clone))
                    self._note(known)
            return known

    def open(self) -> Path:
        """Return the workspace; if it was removed, create it again as the run left it.

        The record has all of a closed run, so a workspace that a killed `close` left incomplete is created again too.
        A run that `forget` has shrunk starts again at its own commit, with its own parameters.

        Raises:
            MissingInputError: The run was never pinned, or its record was removed.
            ConfigError: The repository has lost the commit of the run.
            ServiceError: The repository cannot be reached.
        """
        with self._locked():
            known = self.pinned()
            if known is None:
                raise MissingInputError(
                    self.record.pin, remedy="clear the first task of the run, which creates its workspace"
                )
            if not self.has_workspace():
                files.remove_whole(self.workspace)
                with self._cloned(known.revision) as (clone, _):
                    records.restore(self.record.path, clone)
                    if records.lock_files(self.record.path):
                        clones.call([sys.executable, "-m", "dvc", "checkout", "-q", "--allow-missing"], folder=clone)
            if known.pruned:
                self._note(replace(known, closed=False, pruned=False))
            os.utime(self.record.pin)
            return self.workspace

    def has_workspace(self) -> bool:
        """Return whether the workspace exists as a whole; only that of a closed run may be torn."""
        known = self.pinned()
        return (self.workspace / WHOLE).exists() or (self.workspace.exists() and known is not None and not known.closed)

    def remote(self) -> str | None:
        """Return the name of the remote that the workspace's DVC uses, None where it has none."""
        name: str | None = clones.dvc_settings(self.workspace)["core"].get("remote")
        return name

    def close(self, *, promoted: bool = False) -> None:
        """Copy what describes the run to its record and remove the workspace; the results are in DVC's cache."""
        with self._locked():
            known = self.pinned()
            if known is not None and self.has_workspace():
                records.keep(self.workspace, self.record.path, tracked=clones.tracked(self.workspace))
                self._note(replace(known, closed=True, promoted=known.promoted or promoted))
            files.remove_whole(self.workspace)

    def forget(self) -> None:
        """Remove the workspace and all results from the record; the commit and the parameters stay.

        Without them, a task of the run that is cleared later would run on another commit.
        """
        with self._locked():
            known = self.pinned()
            if known is not None:
                files.remove_whole(self.workspace)
                records.shrink(self.record)
                used = self.record.pin.stat().st_mtime
                self._note(replace(known, pruned=True))
                os.utime(self.record.pin, (used, used))

    @contextmanager
    def project(self) -> Iterator[Path]:
        """Yield a clone with the dvc.lock and the parameters of the run and without its data, then remove it."""
        known = self.pinned()
        if known is None:
            raise MissingInputError(self.record.pin, remedy="there is no such run")
        folder = self.workspace.with_name(f".lock-of-{self.workspace.name}")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            clones.clone(self.locations, known.revision, folder)
            records.restore(self.record.path, folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _locked(self) -> AbstractContextManager[object]:
        return locks.exclusive(self.record.lock, holder="another task, which opens or closes this run")

    @contextmanager
    def _cloned(self, asked: str) -> Iterator[tuple[Path, str]]:
        """Yield a new clone and its commit; the clone becomes the workspace on success and is removed otherwise."""
        with files.replacing(self.workspace, sole=True) as clone:
            yield clone, clones.clone(self.locations, asked, clone)
            (clone / WHOLE).touch()

    def _note(self, pin: Pin) -> None:
        files.write_json(self.record.pin, {"run_id": self.run_id, "pin": asdict(pin)})


def _read(record: RunRecord) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(record.pin.read_text())
        _ = document["run_id"], document["pin"]["revision"]
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{record.pin} is damaged: restore it from a backup, or remove {record} to forget this run, and trigger "
            "its DAG again"
        ) from error
    return document


def slug(run_id: str) -> str:
    """Return a run id as a folder name that PYTHONPATH can hold; different ids give different names."""
    plain = re.sub(r"[^\w.-]|^\.", "_", run_id)[:LONGEST_NAME]
    return plain if plain == run_id else f"{plain}-{sha256(run_id.encode()).hexdigest()[:6]}"
