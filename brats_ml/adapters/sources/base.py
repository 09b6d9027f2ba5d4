"""The port of a source: list what it holds, and fetch it; and what every implementation of it has to hold."""

import hashlib
import os
import shutil
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Protocol

from brats_ml.adapters.folder_walk import MAX_DEPTH
from brats_ml.errors import BratsError, SourceError, StorageError

CHUNK_BYTES = 1 << 20
# What Linux allows a name to have; and a path 4096, of which the folder that it is laid into needs some.
NAME_BYTES = 255
PATH_BYTES = 3000


@dataclass(frozen=True)
class Entry:
    """One volume or table of a source.

    Attributes:
        path: Relative to the source, `/`-separated.
        bytes: Its size, None where the source does not tell.
        fingerprint: What changes with its contents: its times, a checksum, an ETag.
    """

    path: str
    bytes: int | None
    fingerprint: str


@dataclass(frozen=True)
class Contents:
    """What a source holds now.

    Attributes:
        entries: Its volumes and tables, sorted by path.
        revision: The commit that they are of, where the source has such.
    """

    entries: list[Entry]
    revision: str | None = None


class Source(Protocol):
    """A place that holds a cohort."""

    def contents(self) -> Contents:
        """Look at the source; no contents of files are brought.

        Raises:
            MissingInputError: It does not exist.
            SourceError: It cannot be used.
            ServiceError: A server does not answer.
        """

    def fetch(self, wanted: Mapping[Entry, Path], revision: str | None) -> Generator[Entry, None, None]:
        """Write each entry to its file, in any order, and yield it when it is complete.

        Args:
            wanted: Listed entries, and files in folders that exist.
            revision: As `contents` told it.

        Raises:
            SourceError: An entry changed since it was listed, or its bytes are wrong.
            ServiceError: A server does not answer.
        """


def file_digest(path: Path, name: str) -> bytes:
    """Return the digest of a file's bytes that others compare with, such as `md5`; it secures nothing."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(name, usedforsecurity=False)).digest()


def written_at(state: os.stat_result) -> str:
    """Return when a file was written to; the second time tells it of a file whose modification time was set back."""
    return f"{state.st_mtime_ns}-{state.st_ctime_ns}"


def changed(where: Path | str) -> SourceError:
    """Return the error of an entry that is not what was listed."""
    return SourceError(where, "changed or vanished since the source was listed; run `brats source` again")


def unreadable(path: Path, error: OSError) -> SourceError:
    """Return the error of a file or folder that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return SourceError(path, "is missing, or a link that leads nowhere; mend it or remove it")
    reason = error.strerror or str(error)
    return SourceError(path, f"cannot be read ({reason}); let this user read it, or take it out of the source")


def checked(entries: Iterable[Entry], where: str) -> list[Entry]:
    """Return entries sorted by path, once all of them can lie side by side in one folder and nowhere else.

    Raises:
        SourceError: A path leaves the folder, occurs twice, is not UTF-8, or is both a file and a folder.
    """
    found = sorted(entries, key=lambda entry: entry.path)
    paths = [entry.path for entry in found]
    for path in paths:
        check_path(path, where)
    twice = next((path for path, following in pairwise(paths) if path == following), None)
    if twice is not None:
        raise SourceError(where, f"holds {twice} twice; keep one of them")
    known = set(paths)
    for path in paths:
        folder = next((parent.as_posix() for parent in PurePosixPath(path).parents if parent.as_posix() in known), None)
        if folder is not None:
            raise SourceError(where, f"holds {folder} both as a file and as a folder; rename one of them")
    return found


def check_path(path: str, where: str) -> None:
    """Refuse a path that does not stay below the folder it is laid into, or cannot lie there.

    Raises:
        SourceError: It is absolute, too long or too deep, has a part `..`, `.` or an empty one, or a character that no
            file can have.
    """
    parts = path.split("/")
    if not path.isascii():
        try:
            path.encode()
        except UnicodeEncodeError as error:
            name = path.encode(errors="backslashreplace").decode()
            raise SourceError(where, f"holds {name}, a name that is not UTF-8; rename it") from error
    if path.startswith("/") or {"", ".", ".."} & set(parts) or "\0" in path:
        raise SourceError(where, f"holds {path!r}, a name that would leave its folder; it is refused as a whole")
    if len(parts) > MAX_DEPTH or len(path.encode()) > PATH_BYTES or max(map(len, map(str.encode, parts))) > NAME_BYTES:
        raise SourceError(
            where,
            f"holds {path[:80]}..., a name that is too long: it may have {NAME_BYTES} bytes, with its folders "
            f"{PATH_BYTES}, and {MAX_DEPTH - 1} folders above it; shorten it",
        )


def require_space(entries: Iterable[Entry], folder: Path) -> None:
    """Refuse before anything is written what cannot fit, such as a small archive of terabytes.

    Raises:
        StorageError: The disk of `folder` has less room than the entries say they need.
    """
    needed, free = sum(entry.bytes or 0 for entry in entries), shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"no space for {needed:,} bytes on the disk of {folder}, which has {free:,} left: "
            "free some (`brats prune` may), then run the same again"
        )


def require_space_for(wanted: Mapping[Entry, Path]) -> None:
    """Refuse entries that cannot fit where they are wanted.

    Raises:
        StorageError: The disk has less room than they need.
    """
    if wanted:
        require_space(wanted, next(iter(wanted.values())).parent)


def write_chunks(chunks: Iterable[bytes], target: Path, entry: Entry, where: str) -> None:
    """Write the bytes of an entry as they come.

    Args:
        chunks: The bytes.
        target: The file; what it held is lost.
        entry: What they are of.
        where: The source, for the error.

    Raises:
        SourceError: They are more or fewer than the entry has; the file is removed.
        OSError: The file cannot be written; the error names it.
    """
    written = 0
    try:
        with target.open("wb") as file:
            for chunk in chunks:
                written += len(chunk)
                if entry.bytes is not None and written > entry.bytes:
                    break
                file.write(chunk)
        if entry.bytes is not None and written != entry.bytes:
            what = "more" if written > entry.bytes else "fewer"
            raise SourceError(where, f"{entry.path} has {what} bytes than the {entry.bytes} it was listed with")
    except BaseException as error:
        if isinstance(error, OSError) and not isinstance(error, BratsError) and error.filename is None:
            error.filename = str(target)
        target.unlink(missing_ok=True)
        raise
