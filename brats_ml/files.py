"""Files and folders that appear whole or not at all, JSON in one canonical form, and digests."""

import errno
import glob
import hashlib
import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from brats_ml.errors import MissingInputError, TableError
from brats_ml.workspace.artefact import Artefact


@contextmanager
def replacing(target: os.PathLike[str], *, mode: int | None = None) -> Iterator[Path]:
    """Yield a temporary path in the folder of `target`; it replaces `target` on success and is removed on failure.

    The temporary name keeps the suffixes, since writers choose a format by them. A file is on the disk before it is
    renamed, so a crash of the machine leaves the old or the new content and never an empty file. A folder is renamed
    as it is: each file in it that must survive a crash is written by `replacing` too. The old folder moves away as a
    whole, so a kill leaves the old folder, the new one or none, and never a mixture.

    Args:
        target: The file or folder to write; its parent folders are created.
        mode: Permissions of a file from its first byte on, for secrets; by default those that the umask allows.
    """
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    here = _process_space()
    _remove_leftovers(path, here)
    temporary = path.with_name(f".{here}-{os.getpid()}-{threading.get_ident()}.{path.name}")
    replaced = path.with_name(f".{here}-{os.getpid()}-{threading.get_ident()}r.{path.name}")
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


def _remove_leftovers(path: Path, here: str) -> None:
    """Remove unfinished versions of `path` that killed processes left in this process space."""
    for unfinished in path.parent.glob(f".*-*-*.{glob.escape(path.name)}"):
        space, pid, _ = unfinished.name.removesuffix(f".{path.name}").removeprefix(".").split("-", 2)
        if space == here and pid.isdecimal() and not _alive(int(pid)):
            remove(unfinished)


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


def digest_file(path: Path, *, most: int | None = None) -> str:
    """Return the SHA-256 of a file's bytes, in hex.

    Args:
        path: The file.
        most: The most bytes that it may have; a sparse file of terabytes takes hours to read.

    Raises:
        OSError: It cannot be read, has more bytes, or is not a regular file; reading a pipe would wait for ever.
    """
    require_regular(path)
    if most is not None and path.stat().st_size > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_regular(path: Path) -> None:
    """Refuse a pipe, a socket or a device; a missing file passes.

    Raises:
        OSError: `path` exists and is not a regular file.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def digest_value(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_tree(folder: Path, pattern: str = "*") -> str:
    """Return the SHA-256 over relative names and bytes of all files below `folder` that match `pattern`, in hex."""
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return digest_value([(path.relative_to(folder).as_posix(), digest_file(path)) for path in files])
