"""Faults on purpose: one chosen operation on the disk kills the process, finds the disk full, or fails.

`Shim.install` replaces the functions of Python that read and change files, in this process alone and for good, so it
belongs in a child process. Operations below the watched folders are numbered in order. A dry run lists them; another
run gives one of them a fault. Transactions of SQLAlchemy are operations too: C code of SQLite writes their files.
"""

import builtins
import errno
import io
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

REAL_OPEN = io.open
READ, COMMIT, WRITE = "read", "commit", "write"
# Operations that a full disk refuses. Those of the second row need no room of their own, so only a fault hits them.
ALLOCATE = frozenset({"open", WRITE, "mkdir", "link", "symlink", "sendfile", "fsync", COMMIT})
RENAME = frozenset({"rename", "replace", "truncate", "ftruncate"})


class Fault(StrEnum):
    """What happens at the chosen operation."""

    KILL = "kill"  # SIGKILL: half of a write is on the disk, and no `finally` runs
    FULL = "ENOSPC"  # the disk is full from here on
    EIO = "EIO"  # this one operation fails


@dataclass(frozen=True)
class Point:
    """An operation on the disk.

    Attributes:
        number: Its place in the order of a run.
        operation: Name of the function in `os`, or `open`, `read`, `write` of a file, or `commit` of a transaction.
        path: The file, relative to the first watched folder that holds it.
    """

    number: int
    operation: str
    path: str

    def admits(self, fault: Fault) -> bool:
        """Return whether this fault can happen at this operation and differs from one at the operation before."""
        if fault is Fault.FULL:
            return self.operation in ALLOCATE | RENAME
        return fault is Fault.EIO or self.operation != READ


class Shim:
    """Numbers the operations of this process below some folders, and gives one of them a fault."""

    def __init__(self, *watched: Path, at: int | None = None, fault: Fault | None = None) -> None:
        """Take the folders, and the number and the fault of the operation that fails; without them nothing does."""
        self.watched = [f"{folder.resolve()}{os.sep}" for folder in watched]
        self.at, self.fault = at, fault
        self.points: list[Point] = []
        self._lock = threading.Lock()

    def install(self) -> None:
        """Replace the functions, for as long as this process lives."""
        for name in ("unlink", "remove", "rmdir", "mkdir", "truncate", "chmod"):
            self._replace(name, lambda args, kwargs: _named(args[0], kwargs.get("dir_fd")))
        for name in ("rename", "replace", "link", "symlink"):
            self._replace(name, lambda args, kwargs: _named(args[1], kwargs.get("dst_dir_fd", kwargs.get("dir_fd"))))
        for name in ("fsync", "fdatasync", "ftruncate", "sendfile"):
            self._replace(name, lambda args, _: _opened(args[0]))
        self._replace_write()
        self._replace("open", _opened_to_write)
        builtins.open = io.open = self._open  # type: ignore[assignment]
        self._watch_transactions()

    def reach(self, operation: str, path: str | None, *, half: Callable[[], object] | None = None) -> None:
        """Count an operation, and apply the fault if it is its turn; `half` does half of the operation."""
        folder = next((folder for folder in self.watched if path and path.startswith(folder)), None)
        if path is None or folder is None:
            return
        with self._lock:
            point = Point(len(self.points), operation, path.removeprefix(folder))
            self.points.append(point)
        if self.at is None or self.fault is None or point.number < self.at:
            return
        full = self.fault is Fault.FULL and operation in ALLOCATE
        if point.number > self.at and not full:
            return
        if half is not None:
            half()
        if self.fault is Fault.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        code = errno.ENOSPC if self.fault is Fault.FULL else errno.EIO
        raise _as_database(code) if operation == COMMIT else OSError(code, os.strerror(code), path)

    def _replace(self, name: str, where: Callable[[tuple[Any, ...], dict[str, Any]], str | None]) -> None:
        real = getattr(os, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            self.reach(name, where(args, kwargs))
            return real(*args, **kwargs)

        # Modules such as shutil ask which functions take a folder's descriptor.
        for known in (os.supports_dir_fd, os.supports_follow_symlinks, os.supports_fd):
            if real in known:
                known.add(watched)
        setattr(os, name, watched)

    def _replace_write(self) -> None:
        real = os.write

        def watched(descriptor: int, data: Any) -> int:
            self.reach(WRITE, _opened(descriptor), half=lambda: real(descriptor, bytes(data)[: len(data) // 2]))
            return real(descriptor, data)

        os.write = watched

    def _open(  # the signature of open
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        path = _opened(file) if isinstance(file, int) else _named(file, None)
        if not set(mode) & set("wax+"):
            self.reach(READ, path)
            return REAL_OPEN(file, mode, buffering, encoding, errors, newline, closefd, opener)
        self.reach("open", path)
        raw = _WatchedFile(file, mode.replace("b", "").replace("t", ""), closefd=closefd, opener=opener)
        raw.shim, raw.path = self, path
        if buffering == 0:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)

    def _watch_transactions(self) -> None:
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        def note(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if not statement.lstrip().upper().startswith(("SELECT", "PRAGMA")):
                connection.info["wrote"] = True

        def commit(connection: Any) -> None:
            if connection.info.pop("wrote", False):
                self.reach(COMMIT, connection.engine.url.database)

        event.listen(Engine, "before_cursor_execute", note)
        event.listen(Engine, "commit", commit)
        event.listen(Engine, "rollback", lambda connection: connection.info.pop("wrote", False))


class _WatchedFile(io.FileIO):
    """A file that counts each write that reaches the system."""

    shim: Shim
    path: str | None

    def write(self, data: Any) -> int:
        whole = super().write
        self.shim.reach(WRITE, self.path, half=lambda: whole(bytes(data)[: len(data) // 2]))
        return whole(data)

    def truncate(self, size: int | None = None) -> int:
        self.shim.reach("truncate", self.path)
        return super().truncate(size)


def _named(path: Any, folder: int | None) -> str | None:
    if isinstance(path, int):
        return _opened(path)
    return os.path.abspath(os.path.join(_opened(folder) or "" if folder is not None else "", os.fsdecode(path)))  # noqa: PTH100, PTH118


def _opened(descriptor: Any) -> str | None:
    number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
    try:
        return os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
    except OSError:
        return None


def _opened_to_write(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
    writes = args[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    return _named(args[0], kwargs.get("dir_fd")) if writes else None


def _as_database(code: int) -> Exception:
    from sqlalchemy.exc import OperationalError

    said = "database or disk is full" if code == errno.ENOSPC else "disk I/O error"
    return OperationalError("COMMIT", None, sqlite3.OperationalError(said))
