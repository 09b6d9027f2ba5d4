"""Files and folders that appear whole or not at all, JSON in one canonical form, and digests."""

import glob
import hashlib
import json
import os
import shutil
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Any

from brats_ml.errors import BratsError, MissingInputError, StorageError, TableError
from brats_ml.workspace.artefact import Artefact


@contextmanager
def replacing(target: os.PathLike[str], *, mode: int | None = None, scratch: Path | None = None) -> Iterator[Path]:
    """Yield a temporary path; it replaces `target` on success and is removed on failure.

    The temporary name keeps the suffixes, since writers choose a format by them. A file is on the disk before it is
    renamed, so a crash of the machine leaves the old or the new content and never an empty file. A folder is renamed
    as it is: each file in it that must survive a crash is written by `replacing` too. The old folder moves away as a
    whole, so a kill leaves the old folder, the new one or none, and never a mixture.

    Args:
        target: The file or folder to write; its parent folders are created.
        mode: Permissions of a file from its first byte on, for secrets; by default those that the umask allows.
        scratch: Folder of the temporary path, on the same disk; by default the folder of `target`. Each call lists it,
            so a folder of many thousand targets needs another one for each target.
    """
    path = Path(target)
    folder = scratch or path.parent
    for needed in (path.parent, folder):
        needed.mkdir(parents=True, exist_ok=True)
    here = _process_space()
    _clear_leftovers(folder, path, here)
    temporary = folder / f".{here}-{os.getpid()}-{threading.get_ident()}.{path.name}"
    replaced = folder / f".{here}-{os.getpid()}-{threading.get_ident()}r.{path.name}"
    try:
        if mode is not None:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        yield temporary
        if temporary.is_file():
            _flush_to_disk(temporary)
        if path.is_dir() and not path.is_symlink():
            path.rename(replaced)
        temporary.replace(path)
    except BaseException:
        remove(temporary)
        if replaced.exists():
            replaced.rename(path)
        raise
    remove(replaced)


def _clear_leftovers(folder: Path, path: Path, here: str) -> None:
    """Remove unfinished versions of `path` that killed processes left in this process space, or a failed try of ours.

    A version that was moved away, and that nothing replaced, moves back.
    """
    own = f"{os.getpid()}-{threading.get_ident()}"
    for leftover in folder.glob(f".*-*-*.{glob.escape(path.name)}"):
        space, pid, thread = leftover.name.removesuffix(f".{path.name}").removeprefix(".").split("-", 2)
        ended = f"{pid}-{thread.removesuffix('r')}" == own or (pid.isdecimal() and not _alive(int(pid)))
        if space != here or not ended:
            continue
        if thread.endswith("r") and not os.path.lexists(path):
            leftover.rename(path)
        else:
            remove(leftover)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@cache
def _process_space() -> str:
    """Return a name for the host and container in which process ids are unique."""
    space = Path("/proc/self/ns/pid")
    own = space.stat().st_ino if space.exists() else 0
    return hashlib.sha256(f"{socket.gethostname()} {own}".encode()).hexdigest()[:8]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def remove(path: Path) -> None:
    """Remove a file or folder if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def require(artefact: Artefact) -> Path:
    """Return the path of an artefact that exists.

    Raises:
        MissingInputError: It does not exist; the sentence names the command that makes it.
    """
    if not artefact.path.exists():
        raise MissingInputError(artefact.path, remedy=f"run `{artefact.made_by}` first")
    return artefact.path


def write_json(path: os.PathLike[str], value: Any, *, mode: int | None = None) -> None:
    """Write JSON with sorted keys, so that equal values give equal bytes; `mode` is that of `replacing`."""
    with replacing(path, mode=mode) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def read_json(artefact: Artefact) -> Any:
    """Read a JSON file that another command wrote.

    Raises:
        MissingInputError: There is no such file.
        TableError: The file is not JSON.
    """
    try:
        return json.loads(require(artefact).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TableError(artefact.path, f"is not valid JSON; run `{artefact.made_by}` again") from error


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex.

    Raises:
        ValueError: It is not a regular file.
        StorageError: The operating system cannot read it.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def digest_value(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_tree(folder: Path, pattern: str = "*") -> str:
    """Return the SHA-256 over relative names and bytes of all files below `folder` that match `pattern`, in hex."""
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return digest_value([(path.relative_to(folder).as_posix(), digest_file(path)) for path in files])
