"""Locks that processes wait for: whoever waits says what for, and a folder that allows no lock ends in a sentence.

The system frees each lock when its process ends, however that happens. DVC's own locks are in
`orchestration/runs/dvc_locks.py`, since only DVC's tasks meet them.
"""

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from brats_ml.errors import ServiceError, StorageError

LOG = logging.getLogger(__name__)
# A shorter wait is not worth a line.
SILENT_S = 1.0
POLL_S = 0.05


@contextmanager
def exclusive(path: Path, *, holder: str) -> Iterator[None]:
    """Hold the lock file `path`; wait for another process that holds it.

    Args:
        path: The lock file; it is created and stays.
        holder: Who holds the lock meanwhile, such as "another process that publishes".

    Raises:
        StorageError: The lock file cannot be written.
    """
    lock = FileLock(path)
    with _refused_in_a_sentence(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=SILENT_S)
        except Timeout:
            _say(holder, path)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def shared(path: Path, *, holder: str) -> Iterator[None]:
    """Hold the lock file `path` together with any number of others; wait for a process that holds it by `alone`.

    Raises:
        StorageError: The lock file cannot be written.
    """
    with _opened(path) as file:
        _wait(file, fcntl.LOCK_SH, holder, path)
        yield


@contextmanager
def alone(path: Path, *, refusal: str) -> Iterator[None]:
    """Hold the lock file `path` if nobody holds it, by `shared` or `alone`.

    Raises:
        ServiceError: Somebody does; `refusal` is its sentence.
        StorageError: The lock file cannot be written.
    """
    with _opened(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ServiceError(refusal) from error
        yield


def lock_until_closed(file: IO[Any], *, holder: str) -> None:
    """Lock an open file until it is closed; wait for another process that has locked it."""
    _wait(file, fcntl.LOCK_EX, holder, Path(file.name))


def _wait(file: IO[Any], operation: int, holder: str, path: Path) -> None:
    deadline = time.monotonic() + SILENT_S
    while time.monotonic() < deadline:
        try:
            fcntl.flock(file, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(POLL_S)
        else:
            return
    _say(holder, path)
    fcntl.flock(file, operation)


def _say(holder: str, path: Path) -> None:
    LOG.warning("waiting for %s (lock %s)", holder, path)


@contextmanager
def _opened(path: Path) -> Iterator[IO[Any]]:
    with _refused_in_a_sentence(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        yield file


@contextmanager
def _refused_in_a_sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise StorageError(
            f"the lock {path} cannot be written ({error.strerror}): give this user write permission for it and its "
            "folder"
        ) from error
