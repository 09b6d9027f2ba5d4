"""Files and folders that appear whole or not at all, JSON and CSV in one canonical form, and digests."""

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
def replacing(target: os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `target`; on success it takes the place of `target`, on failure it is removed.

    The temporary name keeps the suffixes, since writers choose a format by them. What a process that was killed left
    unfinished is removed, on this host and in this container, where its id tells that it is gone. A folder that is
    replaced moves away as a whole, so that a kill leaves the old one, none or the new one, and never a part of one.
    """
    path = Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    here = _process_space()
    temporary = path.with_name(f".{here}-{os.getpid()}-{threading.get_ident()}.{path.name}")
    replaced = path.with_name(f".{here}-{os.getpid()}-{threading.get_ident()}r.{path.name}")
    for unfinished in path.parent.glob(f".*-*-*.{glob.escape(path.name)}"):
        space, pid, _ = unfinished.name.removesuffix(f".{path.name}").removeprefix(".").split("-", 2)
        if space == here and pid.isdecimal() and not _alive(int(pid)):
            remove(unfinished)
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            path.rename(replaced)
        temporary.replace(path)
    except BaseException:
        remove(temporary)
        if replaced.exists():
            replaced.rename(path)
        raise
    remove(replaced)


@cache
def _process_space() -> str:
    """Return a name for where process ids mean the same: this host, and this container of it."""
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
        MissingInputError: It does not; the sentence names the command that makes it.
    """
    if not artefact.path.exists():
        raise MissingInputError(artefact.path, remedy=f"run `{artefact.made_by}` first")
    return artefact.path


def write_json(path: os.PathLike[str], value: Any) -> None:
    """Write JSON with sorted keys, so that equal values give equal bytes."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")


def read_json(artefact: Artefact) -> Any:
    """Read JSON that another command wrote.

    Raises:
        MissingInputError: There is no such file.
        TableError: It is not JSON.
    """
    try:
        return json.loads(require(artefact).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise TableError(artefact.path, f"is not valid JSON; run `{artefact.made_by}` again") from error


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex.

    Raises:
        OSError: It cannot be read, or is no regular file: a pipe would wait for ever.
    """
    require_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_regular(path: Path) -> None:
    """Refuse what is there and is no file with bytes, such as a pipe, a socket or a device.

    Raises:
        OSError: It is so.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


def digest_value(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_tree(folder: Path, pattern: str = "*") -> str:
    """Return the SHA-256 over the relative names and bytes of all files below a folder that fit a pattern, in hex."""
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return digest_value([(path.relative_to(folder).as_posix(), digest_file(path)) for path in files])
