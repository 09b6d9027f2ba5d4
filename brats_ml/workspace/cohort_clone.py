"""Names of the files of a cohort's own repository that a release reads and writes."""

from pathlib import Path, PurePosixPath


class CohortClone:
    """A clone of the DVC repository of a cohort.

    Attributes:
        path: Its root.
        cohort: The folder of the cohort, relative to the root.
    """

    def __init__(self, path: Path, cohort: PurePosixPath) -> None:
        """Name the clone; it need not exist yet."""
        self.path, self.cohort = path, cohort

    @property
    def lock(self) -> Path:
        """The lock file of releases."""
        return self.path / ".dvc/tmp/brats-release.lock"

    @property
    def begun(self) -> Path:
        """The file that a release leaves if it is killed between its first file and its commit."""
        return self.path / ".dvc/tmp/brats-release"

    def notes(self) -> list[Path]:
        """Return the files at and below the cohort's folder that say what DVC tracks, relative to the root."""
        folder = self.path / self.cohort
        found = [folder.with_name(f"{folder.name}.dvc"), folder.parent / ".gitignore"]
        found += [*folder.rglob("*.dvc"), *folder.rglob(".gitignore")]
        return [path.relative_to(self.path) for path in found if path.exists()]
