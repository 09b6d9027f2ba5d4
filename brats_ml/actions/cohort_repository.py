"""A local clone of the DVC repository of a cohort, to which a release adds files."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from brats_ml import files, locks
from brats_ml.errors import ConfigError, SourceError
from brats_ml.orchestration.runs.clones import call
from brats_ml.workspace.cohort_clone import CohortClone

DVC = (sys.executable, "-m", "dvc")


class CohortRepository:
    """A clone, and the folder in it that DVC tracks.

    Volumes that are not in the clone are not needed: DVC adds a file to the list of a folder without the other files.

    Attributes:
        clone: The root of the clone.
        cohort: The folder of the cohort, relative to the clone.
    """

    def __init__(self, clone: Path, cohort: str) -> None:
        """Name a clone and its cohort.

        Raises:
            ConfigError: The folder of the cohort is outside the clone.
            SourceError: There is no clone that git and DVC manage.
        """
        self.clone, self.cohort = clone, PurePosixPath(cohort)
        if self.cohort.is_absolute() or ".." in self.cohort.parts:
            raise ConfigError(
                f"the folder {cohort} must be inside {clone}: give it relative to the clone", key="--path"
            )
        if not (clone / ".git").exists() or not (clone / ".dvc").is_dir():
            raise SourceError(clone, "is no git clone with DVC in it; clone the cohort's repository and name its root")
        self._files = CohortClone(clone, self.cohort)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Keep other releases away, and finish one that a kill interrupted.

        Raises:
            SourceError: The clone has changes that nobody has committed.
        """
        with locks.exclusive(self._files.lock, holder=f"another release in {self.clone}"):
            changed = self._changed()
            if changed and not self._files.begun.exists():
                raise SourceError(self.clone, f"has changes that are not committed ({changed[0].strip()}); commit them")
            self._files.begun.touch()
            try:
                yield
            finally:
                if not self._changed():
                    self._files.begun.unlink()

    def tracked(self) -> dict[str, str]:
        """Return the MD5 of each file that DVC tracks in the cohort, by its path in it."""
        listed = json.loads(self._dvc("list", ".", "-R", "--dvc-only", "--json", "--show-hash"))
        prefix = f"{self.cohort}/"
        return {
            found["path"].removeprefix(prefix): found["md5"] or ""
            for found in listed
            if found["path"].startswith(prefix)
        }

    def add(self, wanted: Mapping[str, Path]) -> None:
        """Put files into the cohort by their path in it, and let DVC note and push them."""
        for path, source in wanted.items():
            files.copy(source, self.clone / self.cohort / path)
        self._dvc("add", *sorted(str(self.cohort / path) for path in wanted))
        if self._dvc("remote", "list").strip():
            self._dvc("push", str(self.cohort))

    def commit(self, message: str, tag: str | None) -> str:
        """Commit what DVC noted, name it by a tag, and return the commit."""
        self._git("add", "--", *map(str, self._files.notes()))
        if self._changed():
            self._git("commit", "--quiet", "--message", message)
        if tag is not None and self.tagged(tag) is None:
            self._git("tag", tag)
        return self.head()

    def head(self) -> str:
        """Return the commit that the clone is at."""
        return self._git("rev-parse", "HEAD").strip()

    def tagged(self, tag: str) -> str | None:
        """Return the commit of a tag, None if there is no such tag."""
        return self._git("tag", "--list", "--format=%(objectname)", tag).strip() or None

    def _changed(self) -> list[str]:
        """Return the tracked files that differ from the commit."""
        return self._git("status", "--porcelain", "--untracked-files=no").splitlines()

    def _git(self, *arguments: str) -> str:
        return call(["git", *arguments], folder=self.clone)

    def _dvc(self, *arguments: str) -> str:
        return call([*DVC, *arguments], folder=self.clone)
