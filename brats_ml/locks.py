"""Locks that processes wait for: whoever waits says what for, and a folder that allows no lock ends in a sentence.

The system frees each lock when its last process ends, however that happens and on whatever host: no lock depends on a
process id, a host name or a clock. DVC's own locks are in `orchestration/runs/dvc_locks.py`, since only DVC's tasks
meet them.
"""

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any

from brats_ml import environment
from brats_ml.errors import ServiceError, StorageError

LOG = logging.getLogger(__name__)
# A shorter wait is not worth a line.
SILENT_S = 1.0
POLL_S = 0.05
NOW = fcntl.LOCK_EX | fcntl.LOCK_NB
UNSUPPORTED = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)
REMEDY = f"keep the folder of {environment.STATE.name} where all hosts see each other's locks, such as NFS 4 or CephFS"
# Mount options by which a network file system keeps the locks of one host from the others: nfs(5), mount.cifs(8).
LOCAL_LOCKS = {"nolock", "local_lock=all", "local_lock=flock", "nobrl"}


@contextmanager
def exclusive(path: Path, *, holder: str) -> Iterator[IO[Any]]:
    """Hold the lock file `path`; wait for another process that holds it.

    Args:
        path: The lock file; it is created and stays.
        holder: Who holds the lock meanwhile, such as "another process that publishes".

    Yields:
        The open file. A child process that inherits it holds the lock too.

    Raises:
        StorageError: The lock file cannot be written.
    """
    with _opened(path) as file:
        _wait(file, fcntl.LOCK_EX, holder, path)
        yield file


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
        if not _taken(file, NOW, path):
            raise ServiceError(refusal)
        yield


def is_held(path: Path) -> bool:
    """Return whether a process on any host holds the lock file `path`."""
    if not path.exists():
        return False
    with _opened(path) as file:
        return not _taken(file, NOW, path)


def share_until_end(path: Path) -> None:
    """Hold the lock file `path` together with any number of others until this process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a")
    _HELD.append(file)
    _wait(file, fcntl.LOCK_SH, "an earlier try of the same work", path)


def check(folder: Path) -> None:
    """Check that locks in `folder` work, also between hosts as far as one host can see.

    Raises:
        StorageError: They do not.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=folder) as first, Path(first.name).open() as second:
        path = Path(first.name)
        if not (_taken(first, NOW, path) and not _taken(second, NOW, path)):
            raise StorageError(f"two processes can hold the same lock in {folder}: {REMEDY}")
    local = _mount_options(folder) & LOCAL_LOCKS
    if local:
        raise StorageError(
            f"{folder} is mounted with {', '.join(sorted(local))}, so other hosts do not see its locks: mount it "
            "without"
        )


def lock_until_closed(file: IO[Any], *, holder: str) -> None:
    """Lock an open file until it is closed; wait for another process that has locked it."""
    _wait(file, fcntl.LOCK_EX, holder, Path(file.name))


# Open files keep their locks.
_HELD: list[IO[Any]] = []


def _wait(file: IO[Any], operation: int, holder: str, path: Path) -> None:
    deadline = time.monotonic() + SILENT_S
    while time.monotonic() < deadline:
        if _taken(file, operation | fcntl.LOCK_NB, path):
            return
        time.sleep(POLL_S)
    LOG.warning("waiting for %s (lock %s)", holder, path)
    _taken(file, operation, path)


def _taken(file: IO[Any], operation: int, path: Path) -> bool:
    """Return whether the lock was taken; with LOCK_NB it is not where another process holds it."""
    try:
        fcntl.flock(file, operation)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in UNSUPPORTED:
            raise StorageError(f"the file system of {path} offers no locks ({error.strerror}): {REMEDY}") from error
        raise
    return True


def _mount_options(folder: Path) -> set[str]:
    """Return the options of the mount that has `folder`: proc_pid_mountinfo(5), empty where there is no /proc."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = Path("/proc/self/mountinfo")
    lines = [line.split() for line in mounts.read_text().splitlines()] if mounts.exists() else []
    return {option for fields in lines if fields[2] == number for option in f"{fields[5]},{fields[-1]}".split(",")}


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
