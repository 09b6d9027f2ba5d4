"""Artefacts, and the descriptors by which the class of a folder declares its files."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# DVC finds these files by name, in any folder of a repository.
PARAMS, DVC_YAML, DVC_LOCK = "params.yaml", "dvc.yaml", "dvc.lock"
# Folders of a checkout.
DECISIONS, STATE = "decisions", ".brats"


@dataclass(frozen=True)
class Located(os.PathLike[str]):
    """A file or folder; functions that take a path, such as `open`, accept it."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class Artefact(Located):
    """A file or folder and the command that makes it."""

    made_by: str

    @property
    def remedy(self) -> str:
        """What to do if it does not exist."""
        return f"run `{self.made_by}` first"


@dataclass(frozen=True)
class Named(Located):
    """A file or folder that the user names or makes, and what to do if it does not exist."""

    remedy: str


@dataclass(frozen=True)
class CopyOf(Named):
    """A folder with a copy of what an address of S3 holds; errors name the address."""

    address: str

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True)
class Made:
    """A descriptor of an artefact in a folder.

    Attributes:
        name: The path relative to the folder.
        by: The command that makes the artefact; by default the command that makes the folder.
    """

    name: str
    by: str | None = None

    def __get__(self, folder: Any, owner: type) -> Artefact:
        return Artefact(Path(folder, self.name), self.by or folder.made_by)


@dataclass(frozen=True)
class At:
    """A descriptor of a path in a folder that no single command makes, such as a lock."""

    name: str

    def __get__(self, folder: Any, owner: type) -> Path:
        return Path(folder, self.name)
