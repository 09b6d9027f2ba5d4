"""What a program asks of the disk, and a disk that refuses one of these requests, by Python's own audit events."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EVENTS = {"open", "os.scandir", "os.listdir", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.utime"}
# A hook cannot be removed again, so there is one for all tests.
_watchers: list["Watch"] = []


@dataclass
class Watch:
    """The requests below some folders.

    Attributes:
        folders: The folders.
        fails: The error number of a request, or None if it succeeds; it gets the number of requests before it.
        seen: The requests: the event and the path.
    """

    folders: tuple[Path, ...]
    fails: Callable[[int, Path], int | None]
    seen: list[tuple[str, Path]] = field(default_factory=list)

    def look(self, event: str, path: Path) -> None:
        if any(path.is_relative_to(folder) for folder in self.folders):
            number = len(self.seen)
            self.seen.append((event, path))
            if error := self.fails(number, path):
                raise OSError(error, os.strerror(error), str(path))


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watchers and event in EVENTS and isinstance(arguments[0], str | os.PathLike):
        for watch in _watchers:
            watch.look(event, Path(os.fsdecode(arguments[0])))


@contextmanager
def watching(*folders: Path, fails: Callable[[int, Path], int | None] = lambda number, path: None) -> Iterator[Watch]:
    """Note the requests below folders in this context; some may fail."""
    if not hasattr(sys, "_brats_disk_hook"):
        sys.addaudithook(_hook)
        sys._brats_disk_hook = True  # type: ignore[attr-defined]
    watch = Watch(folders, fails)
    _watchers.append(watch)
    try:
        yield watch
    finally:
        _watchers.remove(watch)
