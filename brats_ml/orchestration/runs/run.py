"""One workspace a DAG run: a clone at a pinned revision that shares DVC's cache, and a record that outlives it."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Self

from dvc.config import Config
from filelock import FileLock

from brats_ml.errors import ConfigError, MissingInputError, ServiceError, StorageError
from brats_ml.orchestration.runs import records
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.workspace.artefact import DVC_LOCK
from brats_ml.workspace.state import RunRecord

LINKS = "hardlink,symlink"


@dataclass(frozen=True)
class Pin:
    """What a run was started on; never changes afterwards, so that any of its tasks can be run again.

    Attributes:
        revision: Full hash of the commit.
        asked: What the form called it.
        skipped: Addresses of the stages that the form left out, sorted.
        closed: Whether the run came to its end.
        promoted: Whether a model of the run became champion.
    """

    revision: str
    asked: str
    skipped: tuple[str, ...] = ()
    closed: bool = False
    promoted: bool = False


@dataclass(frozen=True)
class Run:
    """One DAG run, and where it works."""

    locations: Locations
    dag_id: str
    run_id: str

    @classmethod
    def all(cls, locations: Locations) -> list[Self]:
        """Return the runs that have a record, the one used last at the end."""
        return [
            cls(locations, record.path.parent.name, json.loads(record.pin.read_text())["run_id"])
            for record in locations.state.records()
        ]

    @property
    def record(self) -> RunRecord:
        """Folder of run.json and, once the run is closed, of its dvc.lock, params.yaml and decisions."""
        return self.locations.state.record(self.dag_id, slug(self.run_id))

    @property
    def workspace(self) -> Path:
        """The clone."""
        return self.locations.state.workspace(self.dag_id, slug(self.run_id))

    def pinned(self) -> Pin | None:
        """Return what the run was started on, None before its first task."""
        path = self.record.pin
        if not path.is_file():
            return None
        values = json.loads(path.read_text())["pin"]
        return Pin(**{**values, "skipped": tuple(values["skipped"])})

    def pin(self, asked: str, prepare: Callable[[Path], tuple[str, ...]]) -> Pin:
        """Fix the revision of the run and make its workspace; a second call changes nothing.

        Args:
            asked: A branch, tag or commit of the repository.
            prepare: Is called with the new clone, to set its parameters and check it; returns the skipped stages.

        Raises:
            ConfigError: There is no such revision, or `prepare` refuses.
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
        """Return the workspace; one that was removed is made again as it was when the run left it.

        Raises:
            MissingInputError: The run was never pinned, or its record is gone.
            ServiceError: The repository cannot be reached.
        """
        with self._locked():
            known = self.pinned()
            if known is None:
                raise MissingInputError(
                    self.record.pin, remedy="clear the first task of the run, which makes its workspace"
                )
            if not self.workspace.exists():
                with self._cloned(known.revision) as (clone, _):
                    records.restore(self.record.path, clone)
                    if any(self.record.path.rglob(DVC_LOCK)):
                        _call([sys.executable, "-m", "dvc", "checkout", "-q", "--allow-missing"], folder=clone)
            os.utime(self.record.pin)
            return self.workspace

    def remote(self) -> str | None:
        """Return the name of the remote that the workspace's DVC uses, None where it has none."""
        name: str | None = Config(str(self.workspace / ".dvc"))["core"].get("remote")
        return name

    def close(self, *, promoted: bool = False) -> None:
        """Keep what describes the results and remove the workspace; the results themselves are in DVC's cache."""
        with self._locked():
            known = self.pinned()
            if known is not None and self.workspace.exists():
                records.keep(self.workspace, self.record.path, tracked=_tracked(self.workspace))
                self._note(replace(known, closed=True, promoted=known.promoted or promoted))
                shutil.rmtree(self.workspace)

    @contextmanager
    def project(self) -> Iterator[Path]:
        """Yield a clone of the run's revision with its dvc.lock and parameters and without its data, then remove it."""
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

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.record.path.mkdir(parents=True, exist_ok=True)
        with FileLock(self.record.lock):
            yield

    @contextmanager
    def _cloned(self, asked: str) -> Iterator[tuple[Path, str]]:
        """Yield a new clone and its commit; it takes the place of the workspace on success and is removed otherwise."""
        unfinished = self.workspace.with_name(f".{self.workspace.name}")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.rmtree(self.workspace, ignore_errors=True)
        try:
            yield unfinished, _clone(self.locations, asked, unfinished)
            unfinished.replace(self.workspace)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def _note(self, pin: Pin) -> None:
        path = self.record.pin
        temporary = path.with_name(f".{path.name}")
        temporary.write_text(json.dumps({"run_id": self.run_id, "pin": asdict(pin)}, indent=1) + "\n")
        temporary.replace(path)


def slug(run_id: str) -> str:
    """Return a run id as the name of a folder that can stand in PYTHONPATH; different ids give different names."""
    plain = re.sub(r"[^\w.-]|^\.", "_", run_id)
    return plain if plain == run_id else f"{plain}-{sha256(run_id.encode()).hexdigest()[:6]}"


def uncommitted(checkout: Path) -> list[str]:
    """Return the tracked files of a checkout that differ from its commit."""
    return _listed(checkout, "diff", "--name-only", "-z", "HEAD")


def untracked(checkout: Path) -> list[str]:
    """Return the files and whole folders of a checkout that git neither tracks nor ignores."""
    return _listed(checkout, "ls-files", "-z", "--others", "--exclude-standard", "--directory")


def cache_folder(locations: Locations) -> Path:
    """Return DVC's cache that all workspaces share: the repository's own where its working tree is here."""
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
        raise MissingInputError(Path(source), remedy="correct BRATS_REPOSITORY, which runs are cloned from")
    folder.parent.mkdir(parents=True, exist_ok=True)
    _call(["git", "clone", "--quiet", "--no-checkout", source, str(folder)], folder=folder.parent)
    revision = _resolve(folder, asked)
    if revision is None:
        raise ConfigError(f"{source} has no revision {asked}: give a branch, a tag or a commit of it", key="revision")
    _call(["git", "checkout", "--quiet", "--detach", revision], folder=folder)
    _configure(locations, folder)
    return revision


def _resolve(folder: Path, asked: str) -> str | None:
    # A clone knows the branches of its origin by the origin's name.
    for name in (f"origin/{asked}", asked):
        done = subprocess.run(
            ["git", "rev-parse", "--quiet", "--verify", "--end-of-options", f"{name}^{{commit}}"],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return done.stdout.strip()
    return None


def _configure(locations: Locations, clone: Path) -> None:
    """Let the clone use the cache and the remotes that the repository itself uses, wherever they lie."""
    checkout = locations.checkout
    if not (clone / ".dvc").is_dir():
        raise ConfigError(
            f"{locations.repository} is no DVC repository at this revision: run `dvc init`", key="revision"
        )
    own = Config(str(checkout / ".dvc")) if checkout and (checkout / ".dvc").is_dir() else Config(str(clone / ".dvc"))
    cache = cache_folder(locations) if checkout else Path(own["cache"].get("dir") or locations.state.dvc_cache)
    with Config(str(clone / ".dvc")).edit("local") as local:
        local["cache"] |= {"dir": str(cache), "type": own["cache"].get("type") or LINKS}
        if own["core"].get("remote"):
            local["core"]["remote"] = own["core"]["remote"]
        for name, remote in own["remote"].items():
            local["remote"][name] = {**remote, "url": str(remote["url"])}


def _call(command: list[str], *, folder: Path) -> str:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        if os.strerror(errno.ENOSPC) in done.stderr:
            raise StorageError(f"no space is left for {folder}: free some (`brats prune` may), then clear the task")
        raise ServiceError(f"`{' '.join(command)}` ended with status {done.returncode}: {said[-1]}")
    return done.stdout
