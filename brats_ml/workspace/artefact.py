"""An artefact, and how a folder declares what is in it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Files of a repository that DVC and git know by name, in whatever folder.
PARAMS, DVC_YAML, DVC_LOCK = "params.yaml", "dvc.yaml", "dvc.lock"
# Folders of a checkout that its run records and its clones have too.
DECISIONS, STATE = "decisions", ".brats"


@dataclass(frozen=True)
class Located(os.PathLike[str]):
    """Something at a path; `open` and the like take it as it is."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Artefact(Located):
    """A file or folder, and the command that makes it."""

    made_by: str


@dataclass(frozen=True)
class Made:
    """Declares an artefact of a folder by its name in there.

    Attributes:
        name: Relative to the folder.
        by: The command that makes it, where that is not the folder's own.
    """

    name: str
    by: str | None = None

    def __get__(self, folder: Any, owner: type) -> Artefact:
        return Artefact(Path(folder, self.name), self.by or folder.made_by)


@dataclass(frozen=True)
class At:
    """Declares a path in a folder that no command alone makes, such as a lock."""

    name: str

    def __get__(self, folder: Any, owner: type) -> Path:
        return Path(folder, self.name)
