"""A workspace for each DAG run, a clone at a pinned revision that shares DVC's cache, and a record that outlives it."""

import errno
import json
import logging
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from dvc.config import Config

from brats_ml import environment, files, locks
from brats_ml.errors import ConfigError, MissingInputError, ServiceError, StorageError
from brats_ml.orchestration.runs import records
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.workspace.state import RunRecord

LOG = logging.getLogger(__name__)
LINKS = "hardlink,symlink"
# A file system allows 255 characters, and a temporary name adds 35.
LONGEST_NAME = 200
# A mark in a workspace that was created as a whole. Before there were marks, a killed `close` left some of them torn.
WHOLE = ".git/brats-whole"


@dataclass(frozen=True)
class Pin:
    """The revision and form of a run, fixed at its start so that any task can be run again, and how the run ended.

    Attributes:
        revision: Full hash of the commit.
        asked: The revision as the form has it.
        skipped: Addresses of the stages that the form leaves out, sorted.
        closed: Whether the run has come to its end.
        promoted: Whether a model of the run became champion.
        pruned: Whether the results of the run were removed since it was last opened.
    """

    revision: str
    asked: str
    skipped: tuple[str, ...] = ()
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
        return Pin(**{**values, "skipped": tuple(values["skipped"])})

    def pin(self, asked: str, prepare: Callable[[Path], tuple[str, ...]]) -> Pin:
        """Fix the revision of the run and create its workspace; a second call changes nothing, even after `forget`.

        Args:
            asked: A branch, tag or commit of the repository.
            prepare: Gets the new clone, sets its parameters and checks it; returns the skipped stages.

        Raises:
            ConfigError: There is no such revision, or `prepare` raises it.
            ServiceError: The repository cannot be reached.
        """
        with self._locked():
            known = self.pinned()
            if known is None:
                with self._cloned(asked) as (clone, revision):
                    known = Pin(revision, asked, skipped=prepare(clone))
                    records.keep(clone, self.record.path, tracked=_tracked(clone))
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
            if known.closed and not (self.workspace / WHOLE).exists():
                files.remove_whole(self.workspace)
            if not self.workspace.exists():
                with self._cloned(known.revision) as (clone, _):
                    records.restore(self.record.path, clone)
                    if records.lock_files(self.record.path):
                        _call([sys.executable, "-m", "dvc", "checkout", "-q", "--allow-missing"], folder=clone)
            if known.pruned:
                self._note(replace(known, closed=False, pruned=False))
            os.utime(self.record.pin)
            return self.workspace

    def remote(self) -> str | None:
        """Return the name of the remote that the workspace's DVC uses, None where it has none."""
        name: str | None = Config(str(self.workspace / ".dvc"))["core"].get("remote")
        return name

    def close(self, *, promoted: bool = False) -> None:
        """Copy what describes the run to its record and remove the workspace; the results are in DVC's cache."""
        with self._locked():
            known = self.pinned()
            if known is not None and self.workspace.exists():
                records.keep(self.workspace, self.record.path, tracked=_tracked(self.workspace))
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
            _clone(self.locations, known.revision, folder)
            records.restore(self.record.path, folder)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _locked(self) -> AbstractContextManager[None]:
        return locks.exclusive(self.record.lock, holder="another task, which opens or closes this run")

    @contextmanager
    def _cloned(self, asked: str) -> Iterator[tuple[Path, str]]:
        """Yield a new clone and its commit; the clone becomes the workspace on success and is removed otherwise."""
        with files.replacing(self.workspace) as clone:
            yield clone, _clone(self.locations, asked, clone)
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


def uncommitted(checkout: Path) -> list[str]:
    """Return the tracked files of a checkout that differ from its commit."""
    return _listed(checkout, "diff", "--name-only", "-z", "HEAD")


def untracked(checkout: Path) -> list[str]:
    """Return the files and whole folders of a checkout that git neither tracks nor ignores."""
    return _listed(checkout, "ls-files", "-z", "--others", "--exclude-standard", "--directory")


def cache_folder(locations: Locations) -> Path:
    """Return the DVC cache that all workspaces share: that of the repository's working tree, if it is here."""
    checkout = locations.checkout
    if checkout is None:
        return locations.state.dvc_cache
    return Path(Config(str(checkout / ".dvc"))["cache"].get("dir") or checkout / ".dvc/cache")


def _tracked(clone: Path) -> list[str]:
    return _listed(clone, "ls-files", "-z")


def _listed(folder: Path, *arguments: str) -> list[str]:
    return [name for name in _call(["git", *arguments], folder=folder).split("\0") if name]


def _clone(locations: Locations, asked: str, folder: Path) -> str:
    source = locations.repository
    if "://" not in source and not re.match(r"[\w.-]+@?[\w.-]*:", source) and not Path(source).exists():
        remedy = f"correct {environment.REPOSITORY.name}, which runs are cloned from"
        raise MissingInputError(Path(source), remedy=remedy)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _call(["git", "clone", "--quiet", "--no-checkout", source, str(folder)], folder=folder.parent)
    revision = _resolve(folder, asked)
    if revision is None:
        raise ConfigError(
            f"{source} has no revision {asked}: give a branch, a tag or a commit of it, in a new run", key="revision"
        )
    _call(["git", "checkout", "--quiet", "--detach", revision], folder=folder)
    if locations.checkout is not None:
        _restrict(folder, locations.checkout)
    _configure(locations, folder)
    return revision


def _resolve(folder: Path, asked: str) -> str | None:
    # In a clone, the branches of the origin have its name in front.
    for name in (f"origin/{asked}", asked):
        done = subprocess.run(
            ["git", "rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}"],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return done.stdout.strip()
    return None


def _restrict(clone: Path, checkout: Path) -> None:
    """Take from each file of a clone the permissions that group and others lack in the checkout; git keeps no such."""
    for name in _tracked(clone):
        own, copied = checkout / name, clone / name
        if own.is_file() and copied.is_file() and not copied.is_symlink():
            copied.chmod(stat.S_IMODE(copied.stat().st_mode) & (own.stat().st_mode | stat.S_IRWXU))


def _configure(locations: Locations, clone: Path) -> None:
    """Let the clone use the cache and the remotes of the repository itself, wherever they are."""
    checkout = locations.checkout
    if not (clone / ".dvc").is_dir():
        raise ConfigError(
            f"{locations.repository} is not a DVC repository at this revision: run `dvc init`", key="revision"
        )
    own = Config(str(checkout / ".dvc")) if checkout and (checkout / ".dvc").is_dir() else Config(str(clone / ".dvc"))
    cache = cache_folder(locations) if checkout else Path(own["cache"].get("dir") or locations.state.dvc_cache)
    # It has the credentials of remotes.
    Path(Config(str(clone / ".dvc")).files["local"]).touch(mode=0o600)
    with Config(str(clone / ".dvc")).edit("local") as local:
        local["cache"] |= {"dir": str(cache), "type": own["cache"].get("type") or LINKS}
        if own["core"].get("remote"):
            local["core"]["remote"] = own["core"]["remote"]
        for name, remote in own["remote"].items():
            local["remote"][name] = {**remote, "url": str(remote["url"])}


def _call(command: list[str], *, folder: Path) -> str:
    variables = environment.for_child({"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"})
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        messages = [line for line in done.stderr.splitlines() if line.strip()] or ["it printed no message"]
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise StorageError(f"no space is left for {folder}: free some (`brats prune` may), then clear the task")
        raise ServiceError(f"`{' '.join(command)}` ended with status {done.returncode}: {messages[-1]}")
    return done.stdout
