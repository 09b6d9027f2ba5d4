"""The interface of a source, which lists and fetches its files, and the checks that all sources share."""

import hashlib
import shutil
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path, PurePosixPath
from typing import Protocol

from brats_ml.adapters.folder_walk import MAX_DEPTH
from brats_ml.cohort.dicom import ADVICE
from brats_ml.cohort.release_files import is_volume
from brats_ml.errors import BratsError, ChangedSourceError, EmptyCohortError, SourceError, StorageError

CHUNK_BYTES = 1 << 20
# Linux allows names of 255 bytes and paths of 4096; the checkout's own path needs some of them.
NAME_BYTES = 255
# The largest release has 20,000.
MOST_ENTRIES = 500_000
PATH_BYTES = 3000


@dataclass(frozen=True)
class Entry:
    """One volume or table of a source.

    Attributes:
        path: Path relative to the source, `/`-separated.
        bytes: Its size, None where the source does not know it.
        fingerprint: Text that changes with its contents: times, a checksum or an ETag.
    """

    path: str
    bytes: int | None
    fingerprint: str


@dataclass(frozen=True)
class Contents:
    """The contents of a source at one moment.

    Attributes:
        entries: Its volumes and tables, sorted by path.
        revision: Their commit, where the source has commits.
        dicom: One DICOM file of each folder that holds some; nothing reads them.
    """

    entries: list[Entry]
    revision: str | None = None
    dicom: list[str] = field(default_factory=list)


class Source(Protocol):
    """A place that holds a cohort."""

    def contents(self) -> Contents:
        """List the source without downloading any file.

        Raises:
            MissingInputError: It does not exist.
            SourceError: It cannot be used.
            ServiceError: A server does not answer.
        """

    def fetch(self, wanted: Mapping[Entry, Path], revision: str | None) -> Generator[Entry, None, None]:
        """Write each entry to its file, in any order, and yield it when it is complete.

        Args:
            wanted: Listed entries, each with its file; the folders exist.
            revision: The revision that `contents` returned.

        Raises:
            SourceError: An entry changed since it was listed, or its bytes are wrong.
            ServiceError: A server does not answer.
        """


def file_digest(path: Path, name: str) -> bytes:
    """Return a digest of a file's bytes, such as `md5`, to compare with one that others computed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(name, usedforsecurity=False)).digest()


def refuse_dicom_alone(source: str, contents: Contents) -> None:
    """Refuse a source of DICOM without any volume.

    Raises:
        EmptyCohortError: The source is one.
    """
    if contents.dicom and not any(is_volume(entry.path) for entry in contents.entries):
        raise EmptyCohortError(f"{source} holds DICOM, such as {contents.dicom[0]}, and no NIfTI volume: {ADVICE}")


def changed(where: Path | str) -> SourceError:
    """Return the error of an entry that changed after it was listed."""
    return ChangedSourceError(where, "changed or vanished since the source was listed; run `brats source` again")


def unreadable(path: Path, error: OSError) -> SourceError:
    """Return the error of a file or folder that cannot be read."""
    if isinstance(error, FileNotFoundError):
        return SourceError(path, "is missing, or a broken symlink; fix it or remove it")
    reason = error.strerror or str(error)
    return SourceError(path, f"cannot be read ({reason}); grant read permission, or remove it from the source")


def checked(entries: Iterable[Entry], where: str) -> list[Entry]:
    """Return entries sorted by path, after checking that one folder can hold all of them.

    Raises:
        SourceError: A path leaves the folder, occurs twice, is not UTF-8, or is both a file and a folder, or there are
            too many.
    """
    found = sorted(islice(entries, MOST_ENTRIES + 1), key=lambda entry: entry.path)
    if len(found) > MOST_ENTRIES:
        raise SourceError(where, f"holds more than {MOST_ENTRIES:,} volumes and tables; split it")
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
    """Refuse a path that leaves its folder, or that no file can have.

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
        raise SourceError(where, f"holds {path!r}, a name that leaves its folder; the source is refused")
    if len(parts) > MAX_DEPTH or len(path.encode()) > PATH_BYTES or max(map(len, map(str.encode, parts))) > NAME_BYTES:
        raise SourceError(
            where,
            f"holds {path[:80]}..., a name that is too long: names may have {NAME_BYTES} bytes, paths "
            f"{PATH_BYTES} bytes and {MAX_DEPTH - 1} folders; shorten it",
        )


def require_space(entries: Iterable[Entry], folder: Path) -> None:
    """Check before writing that the entries fit on the disk; a small archive may unpack to terabytes.

    Raises:
        StorageError: The disk of `folder` has less space than the sizes of the entries need.
    """
    needed, free = sum(entry.bytes or 0 for entry in entries), shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"no space for {needed:,} bytes on the disk of {folder}, which has {free:,} left: "
            "free some, for example with `brats prune`, and rerun the command"
        )


def require_space_for(wanted: Mapping[Entry, Path]) -> None:
    """Check that the entries fit on the disk of their files.

    Raises:
        StorageError: The disk has less space than they need.
    """
    if wanted:
        require_space(wanted, next(iter(wanted.values())).parent)


def write_chunks(chunks: Iterable[bytes], target: Path, entry: Entry, where: str) -> None:
    """Write the bytes of an entry as they come.

    Args:
        chunks: The bytes.
        target: The file, which is overwritten.
        entry: The entry.
        where: The source, for the error.

    Raises:
        SourceError: There are more or fewer bytes than the entry has; the file is removed.
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
            raise SourceError(where, f"{entry.path} has {what} bytes than the {entry.bytes} in the listing")
    except BaseException as error:  # also after a kill by a signal no half file may stay
        if isinstance(error, OSError) and not isinstance(error, BratsError) and error.filename is None:
            error.filename = str(target)
        target.unlink(missing_ok=True)
        raise
