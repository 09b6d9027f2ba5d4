"""Files and folders that appear whole or not at all, JSON in one canonical form, and digests."""

import glob
import hashlib
import json
import os
import shutil
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from brats_ml.errors import MissingInputError, TableError
from brats_ml.near_names import question
from brats_ml.reading import open_regular
from brats_ml.workspace.artefact import Artefact, Named

# Ends of the hidden name of a folder that has left its place.
REPLACED, REMOVED = "r", "d"
# PROC_PID_INIT_INO of Linux, include/linux/proc_ns.h: the PID namespace of a kernel's start.
FIRST_PID_NAMESPACE = 0xEFFFFFFC
KERNEL_START = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def replacing(
    target: os.PathLike[str], *, mode: int | None = None, scratch: Path | None = None, sole: bool = False
) -> Iterator[Path]:
    """Yield a temporary path; it replaces `target` on success and is removed on failure.

    The temporary name keeps the suffixes, since writers choose a format by them. A file is on the disk before it is
    renamed, so a crash of the machine leaves the old or the new content and never an empty file. A folder is renamed
    as it is: each file in it that must survive a crash is written by `replacing` too. The old folder moves away as a
    whole, so a kill leaves the old folder, the new one or none, and never a mixture; after a kill that leaves none, the
    next call puts the old folder back first.

    Args:
        target: The file or folder to write; its parent folders are created.
        mode: Permissions of a file from its first byte on, for secrets; by default those that the umask allows.
        scratch: Folder of the temporary path, on the same disk; by default the folder of `target`. Each call lists it,
            so a folder of many thousand targets needs another one for each target.
        sole: Whether the caller holds a lock, so that nobody else writes `target`. Then also what a killed process of
            another host left behind is removed or put back.
    """
    path = Path(target)
    place = (scratch or path.parent) / path.name
    for folder in (path.parent, place.parent):
        folder.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path, place, sole=sole)
    temporary, replaced = _hidden(place), _hidden(place, REPLACED)
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
    _discard(replaced, place)


def _hidden(place: Path, state: str = "") -> Path:
    """Return a name next to `place` for this thread, and for a folder that is `REPLACED` or `REMOVED`."""
    return place.with_name(f".{process_space()}-{os.getpid()}-{threading.get_ident()}{state}.{place.name}")


def _remove_leftovers(path: Path, place: Path, *, sole: bool) -> None:
    """Remove versions of `path` next to `place`, and put back the last whole one.

    They are left by processes of this process space that were killed, or by a try of this thread that failed. Nobody
    knows here whether a process of another space lives, so its versions stay unless this process is the `sole` writer.
    """
    for left in place.parent.glob(f".*-*-*.{glob.escape(place.name)}"):
        space, pid, thread = left.name.removesuffix(f".{place.name}").removeprefix(".").split("-", 2)
        own = f"{pid}-{thread.rstrip(REPLACED + REMOVED)}" == f"{os.getpid()}-{threading.get_ident()}"
        if sole or (space == process_space() and (own or (pid.isdecimal() and not _alive(int(pid))))):
            if thread.endswith(REPLACED) and not os.path.lexists(path):
                left.rename(path)
            else:
                _discard(left, place)


def _discard(version: Path, place: Path) -> None:
    """Remove a version if it exists; a kill leaves no part of it under the name of a whole version."""
    doomed = _hidden(place, REMOVED)
    if version != doomed:
        remove(doomed)
    with suppress(FileNotFoundError):
        version.rename(doomed)
    remove(doomed)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@cache
def process_space() -> str:
    """Return a name for the host and container in which process ids are unique.

    Two hosts may have the same name, and the first PID namespace of each kernel has the same number. So the name has
    the machine's id (machine-id(5)), which outlives a restart. A container may share that id with others, or have none:
    its name has the id of the kernel's start instead, so what it leaves is never taken for that of another container.
    """
    own, machine = Path("/proc/self/ns/pid"), Path("/etc/machine-id")
    number = own.stat().st_ino if own.exists() else 0
    kernel = machine if number == FIRST_PID_NAMESPACE and machine.is_file() else KERNEL_START
    identity = kernel.read_text().strip() if kernel.is_file() else ""
    if not identity and KERNEL_START.is_file():
        identity = KERNEL_START.read_text().strip()
    return hashlib.sha256(f"{socket.gethostname()} {identity} {number}".encode()).hexdigest()[:8]


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


def set_aside(path: Path) -> Path:
    """Rename a damaged file or folder, so that nothing reads it and a person still can, and return its new path."""
    aside = path.with_name(f"damaged-{path.name}")
    remove(aside)
    return path.rename(aside)


def remove_whole(folder: Path) -> None:
    """Remove a folder if it exists; a kill leaves all of it or none under its name."""
    _discard(folder, folder)


def copy(source: Path, target: Path) -> None:
    """Copy a file, or each file of a folder, with its permissions; each copy appears whole."""
    if source.is_dir():
        for path in source.iterdir():
            copy(path, target / path.name)
    else:
        with replacing(target) as temporary:
            shutil.copy(source, temporary)


def require(wanted: Artefact | Named) -> Path:
    """Return the path of a file or folder that exists.

    Raises:
        MissingInputError: It does not exist; the sentence names the command that makes it, or the nearest name.
    """
    if not wanted.path.exists():
        near = _near(wanted.path) if isinstance(wanted, Named) else ""
        raise MissingInputError(wanted.path, remedy=wanted.remedy + near)
    return wanted.path


def _near(missing: Path) -> str:
    try:
        return question(missing.name, [path.name for path in missing.parent.iterdir()])
    except OSError:
        return ""  # its folder does not exist or cannot be read, so there is no name to propose


def write_json(path: os.PathLike[str], value: Any, *, mode: int | None = None, scratch: Path | None = None) -> None:
    """Write JSON with sorted keys, so that equal values give equal bytes; `mode` and `scratch` are of `replacing`."""
    with replacing(path, mode=mode, scratch=scratch) as temporary:
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


# The key of a sealed object that holds the digest of all its other keys.
SEAL = "sha256"


def write_sealed(path: os.PathLike[str], value: Mapping[str, Any], *, scratch: Path | None = None) -> None:
    """Write a JSON object with a digest of its content, so that `unsealed` notices a change by others."""
    stored = json.loads(json.dumps(value))  # keys are strings from here on, as they are when the file is read
    write_json(path, {**stored, SEAL: digest_value(stored)}, scratch=scratch)


def unsealed(stored: Any) -> dict[str, Any] | None:
    """Return the object that `write_sealed` wrote, None where something else was stored, or it was changed."""
    if not isinstance(stored, dict):
        return None
    content = {name: value for name, value in stored.items() if name != SEAL}
    return content if stored.get(SEAL) == digest_value(content) else None


def read_sealed(artefact: Artefact) -> Any:
    """Read JSON that `write_sealed` wrote; an older file without a digest passes.

    Raises:
        MissingInputError: There is no such file.
        TableError: The file is not JSON, or its content is not what was written.
    """
    stored = read_json(artefact)
    if not isinstance(stored, dict) or SEAL not in stored:
        return stored
    content = unsealed(stored)
    if content is None:
        raise TableError(artefact.path, f"was changed after it was written; run `{artefact.made_by}` again")
    return content


def digest_file(path: Path, *, most: int | None = None) -> str:
    """Return the SHA-256 of a file's bytes, in hex.

    Args:
        path: The file.
        most: The most bytes that it may have; a sparse file of terabytes takes hours to read.

    Raises:
        ValueError: It has more bytes, or is not a regular file.
        StorageError: The operating system cannot read it.
    """
    with open_regular(path) as file:
        if most is not None and os.fstat(file.fileno()).st_size > most:
            raise ValueError(f"it has more than {most:,} bytes")
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_value(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def digest_tree(folder: Path, pattern: str = "*") -> str:
    """Return the SHA-256 over relative names and bytes of all files below `folder` that match `pattern`, in hex."""
    return digest_value(list(file_digests(folder, pattern).items()))


def file_digests(folder: Path, pattern: str = "*") -> dict[str, str]:
    """Return the SHA-256 of each file below `folder` that matches `pattern`, by its relative name."""
    found = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return {path.relative_to(folder).as_posix(): digest_file(path) for path in found}


def note_digests(note: Path) -> None:
    """Write the digests of all other files of its folder to `note`, so that `is_intact` notices a change."""
    write_json(note, {name: digest for name, digest in file_digests(note.parent).items() if name != note.name})


def is_intact(note: Path) -> bool:
    """Return whether the files of a folder are those that `note_digests` noted."""
    try:
        expected = json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(expected, dict) and changed_files(note.parent, expected) == [note.name]


def changed_files(folder: Path, expected: Mapping[str, str]) -> list[str]:
    """Return the names of files below `folder` that were changed, added or removed.

    Args:
        folder: The folder.
        expected: The digests that `file_digests` returned before.
    """
    present = file_digests(folder)
    return sorted(name for name in present.keys() | expected.keys() if present.get(name) != expected.get(name))
