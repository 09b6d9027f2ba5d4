"""Open files that others wrote, and keep apart what the operating system says of them and what they are."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from brats_ml.errors import BratsError, StorageError


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open a file to read its bytes; a pipe, a socket or a device is refused, since reading it may wait for ever.

    Raises:
        ValueError: It is not a regular file.
        StorageError: The operating system cannot open or read it. That is a fault of the disk or of its settings, and
            not of the file, so another try may succeed.
    """
    with system_errors_named(path):
        _refuse_irregular(path.stat())
        # Without waiting, in case a pipe has just replaced the file.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            _refuse_irregular(os.fstat(descriptor))
            yield file


@contextmanager
def system_errors_named(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into a sentence about a file; an error of a decoder has no number.

    Raises:
        StorageError: There is such an error.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, BratsError) or error.errno is None:
            raise
        raise StorageError(
            f"{path} cannot be read: {error.strerror}; check the disk and the permissions, then run the same command "
            "again",
            transient=True,
        ) from error


def _refuse_irregular(state: os.stat_result) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise ValueError("it is not a regular file")


def written_at(state: os.stat_result) -> str:
    """Return the times of a file; the second one changes even if somebody sets the modification time back."""
    return f"{state.st_mtime_ns}-{state.st_ctime_ns}"


def identity(state: os.stat_result) -> str:
    """Return what changes whenever other bytes take a file's place: inode, size and times.

    A copy of the file has another identity, and so has a file with one link more: the digest of its bytes decides then.
    """
    return f"{state.st_ino}-{state.st_size}-{written_at(state)}"
