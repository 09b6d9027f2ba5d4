"""The files that DVC's graph of a repository depends on, found without DVC, since importing it takes a second."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from pathspec import GitIgnoreSpec

from brats_ml.workspace.artefact import DVC_LOCK, DVC_YAML

# The folders of git, Mercurial and DVC themselves. A folder that has one of DVC is a repository of its own.
DVC_FOLDER = ".dvc"
NEVER_ENTERED = frozenset({".git", ".hg", DVC_FOLDER})
DVC_IGNORE, GIT_IGNORE = ".dvcignore", ".gitignore"
# A file of patterns and its folder, relative to the root and with `/` at the end, or empty for the root.
Patterns = tuple[tuple[str, GitIgnoreSpec], ...]


class Reads:
    """What DVC asked the disk when it read a graph.

    Attributes:
        files: The SHA-256 of the bytes that DVC read, by path; None for a file that does not exist.
        of_machine: Those of the files that belong to the user or the machine, and to no repository.
    """

    def __init__(self) -> None:
        """Begin without any file."""
        self.files: dict[Path, str | None] = {}
        self.of_machine: set[Path] = set()

    def absent(self, path: str) -> None:
        """Note a file that does not exist."""
        self.files.setdefault(Path(path).absolute(), None)

    def content(self, path: str, content: bytes) -> None:
        """Note a file and what was read of it."""
        self.files[Path(path).absolute()] = hashlib.sha256(content).hexdigest()

    def machine(self, path: Path) -> None:
        """Note a file of the user or of the machine, which DVC reads for every repository."""
        self.of_machine.add(path.absolute())
        if path.is_file():
            self.content(str(path), path.read_bytes())
        else:
            self.absent(str(path))

    def split(self, root: Path) -> tuple[dict[str, str | None], dict[str, str | None]]:
        """Return the files that `find` finds and all others, by their path relative to the root of the repository.

        dvc.lock is not among them: DVC takes hashes from it, and no stage.
        """
        found: dict[str, str | None] = {}
        others: dict[str, str | None] = {}
        for path, digest in self.files.items():
            if not _is_found(path.name):
                if path.name != DVC_LOCK:
                    others[str(path) if path in self.of_machine else os.path.relpath(path, root)] = digest
            elif digest is not None:
                found[os.path.relpath(path, root)] = digest
        return found, others


def find(root: Path) -> frozenset[str]:
    """Return each file by which DVC finds stages or stays out of a folder, relative to the root of a repository.

    These are dvc.yaml, files that `dvc add` and `dvc import` write, and files of patterns, in all folders that DVC
    enters. DVC obeys .gitignore only in a repository of git.
    """
    obeyed = (DVC_IGNORE, GIT_IGNORE) if (root / ".git").exists() else (DVC_IGNORE,)
    return frozenset(_walk(root, "", dict.fromkeys(obeyed, ())))


def _walk(root: Path, folder: str, patterns: dict[str, Patterns]) -> Iterator[str]:
    """Yield the files of a folder and of the folders in it; `patterns` are those of the folders around it."""
    try:
        with os.scandir(root / folder) as listing:
            entries = {entry.name: entry.is_dir(follow_symlinks=False) for entry in listing}
    except OSError:
        return  # DVC passes over a folder that it may not read, too
    if folder and DVC_FOLDER in entries:
        return
    for name, outer in patterns.items():
        if name in entries:
            patterns = {**patterns, name: (*outer, (folder, _read(root / folder / name)))}
    for name, is_folder in entries.items():
        path = folder + name
        if is_folder:
            if name not in NEVER_ENTERED and not _is_ignored(f"{path}/", patterns):
                yield from _walk(root, f"{path}/", patterns)
        elif name in patterns or (_is_found(name) and not _is_ignored(path, patterns)):
            yield path


def _is_found(name: str) -> bool:
    return name in (DVC_YAML, DVC_IGNORE) or name.endswith(".dvc")


def _read(path: Path) -> GitIgnoreSpec:
    with path.open(encoding="utf-8", errors="replace") as file:
        return GitIgnoreSpec.from_lines(file)


def _is_ignored(path: str, patterns: dict[str, Patterns]) -> bool:
    """Return whether a file of patterns excludes a path; the innermost one decides."""
    for files in patterns.values():
        verdicts = (spec.check_file(path.removeprefix(folder)).include for folder, spec in reversed(files))
        if next((verdict for verdict in verdicts if verdict is not None), False):
            return True
    return False
