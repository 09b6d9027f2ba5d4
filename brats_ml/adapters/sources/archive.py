"""A zip or tar archive as a source; unpacking stays inside the target folder and follows no link."""

import bz2
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from brats_ml.adapters.dicom.search import one_of_each_folder
from brats_ml.adapters.sources.base import (
    CHUNK_BYTES,
    Contents,
    Entry,
    changed,
    check_path,
    checked,
    require_space_for,
    unreadable,
    write_chunks,
)
from brats_ml.adapters.sources.tar_limits import LEAST_BOUND, MOST_TIMES, Bounded, StrictHeader
from brats_ml.cohort.dicom import START_BYTES, is_dicom_name, is_dicom_start, may_be_dicom
from brats_ml.cohort.release_files import is_hidden, is_release_file
from brats_ml.errors import BratsError, SourceError
from brats_ml.reading import written_at

# These compare the checksum at the end; tarfile's own decompression does not.
Opener = Callable[[Path], Any]
TARS: dict[str, Opener] = {
    ".tar": lambda path: path.open("rb"),
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tar.xz": lzma.open,
}
ZIP = ".zip"
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    ValueError,
    RecursionError,  # headers of long names that each refer to the next
)


def archive_source(path: Path) -> "ZipSource | TarSource":
    """Return the source for an archive, by the suffix of its name.

    Raises:
        SourceError: The kind of archive is unknown.
    """
    check_archive_name(path)
    name = path.name.lower()
    if name.endswith(ZIP):
        return ZipSource(path)
    return TarSource(path, next(opener for suffix, opener in TARS.items() if name.endswith(suffix)))


def check_archive_name(path: Path) -> None:
    """Refuse a file that is no archive by the suffix of its name.

    Raises:
        SourceError: The kind of archive is unknown.
    """
    if not path.name.lower().endswith((ZIP, *TARS)):
        raise SourceError(path, f"is neither a folder nor an archive that ends in {ZIP}, {', '.join(TARS)}")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn an error of damaged or unreadable bytes into one of ours."""
    try:
        yield
    except BratsError:
        raise
    except NotImplementedError as error:
        raise SourceError(path, f"is packed in a way that cannot be read ({error}); pack it again") from error
    except MemoryError as error:
        raise SourceError(path, "needs more memory to unpack than there is; pack it again") from error
    except DAMAGE as error:
        raise SourceError(path, f"is damaged or incomplete ({error}); download it again") from error
    except OSError as error:
        # For damage the decompressors raise an OSError without a number; the system's errors have one.
        if error.errno is None:
            raise SourceError(path, f"is damaged or incomplete ({error}); download it again") from error
        raise unreadable(path, error) from error


def _chunks(path: Path, member: IO[bytes]) -> Iterator[bytes]:
    with _reading(path):
        while chunk := member.read(CHUNK_BYTES):
            yield chunk


def _member_path(name: str, path: Path) -> str:
    """Return a member's path inside the archive.

    Raises:
        SourceError: It would leave the folder that the archive is unpacked into.
    """
    inside = re.sub(r"^(\./)+", "", re.sub(r"[\\/]+", "/", name)).removesuffix("/")
    if re.match(r"[A-Za-z]:", inside):
        raise SourceError(path, f"holds {name!r}, a name that leaves its folder; the source is refused")
    check_path(inside, str(path))
    return inside


ZIP_END, ZIP_END_BYTES, ZIP_COMMENT_BYTES = b"PK\x05\x06", 22, 65535
# Two bytes hold the number of members. macOS writes more members in the old form and keeps the lower bytes; the new
# form has the highest number there.
MEMBERS_MODULO = 1 << 16


def _stated_members(path: Path) -> int:
    """Return the number of members that the end of a zip states; zipfile does not compare it."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - ZIP_END_BYTES - ZIP_COMMENT_BYTES))
        tail = file.read()
    end = tail.rfind(ZIP_END)
    return int.from_bytes(tail[end + 10 : end + 12], "little")


# zipfile unpacks 4 KB of the other kinds at once, however much they hold: gigabytes in the case of bzip2.
PLAIN_TYPES = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class ZipSource:
    """A zip archive; a member's fingerprint is its CRC."""

    path: Path

    def contents(self) -> Contents:
        """Return the volumes and tables of its directory."""
        with _reading(self.path), zipfile.ZipFile(self.path) as archive:
            return Contents(checked(self._members(archive), str(self.path)), dicom=self._dicom(archive))

    def fetch(self, wanted: Mapping[Entry, Path], revision: str | None) -> Generator[Entry, None, None]:
        """Unpack each entry; the CRC of each is checked."""
        with _reading(self.path), zipfile.ZipFile(self.path) as archive:
            members = self._members(archive)
            require_space_for(wanted)
            for entry, target in wanted.items():
                if entry not in members:
                    raise changed(f"{self.path}, {entry.path}")
                with archive.open(members[entry]) as member:
                    write_chunks(_chunks(self.path, member), target, entry, str(self.path))
                yield entry

    def _members(self, archive: zipfile.ZipFile) -> dict[Entry, zipfile.ZipInfo]:
        found: list[tuple[Entry, zipfile.ZipInfo]] = []
        stated, held = _stated_members(self.path), len(archive.infolist())
        if stated not in (held % MEMBERS_MODULO, MEMBERS_MODULO - 1):
            raise zipfile.BadZipFile(f"its end states {stated} members, but its directory has {held}")
        for info in archive.infolist():
            path = _member_path(info.filename, self.path)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir() or is_hidden(path):
                continue
            if kind not in (0, stat.S_IFREG):
                raise SourceError(self.path, f"holds {path}, which is not a plain file; pack the file itself instead")
            if is_release_file(path):
                if info.flag_bits & 1:
                    raise SourceError(self.path, f"is encrypted ({path}); unpack it and use the folder instead")
                if info.compress_type not in PLAIN_TYPES:
                    raise SourceError(
                        self.path, f"holds {path} in a rare compression; pack it again as an ordinary zip"
                    )
                found.append((Entry(path, info.file_size, f"{info.CRC:08x}"), info))
        checked((entry for entry, _ in found), str(self.path))
        return dict(found)

    def _dicom(self, archive: zipfile.ZipFile) -> list[str]:
        """Return one DICOM member of each folder; of one that cannot be unpacked, the name decides."""
        members = {_member_path(info.filename, self.path): info for info in archive.infolist() if not info.is_dir()}

        def start(name: str) -> bytes:
            info = members[name]
            if info.flag_bits & 1 or info.compress_type not in PLAIN_TYPES:
                return b""
            try:
                with archive.open(info) as member:
                    return member.read(START_BYTES)
            except DAMAGE:
                return b""

        return one_of_each_folder(members, start)


@dataclass(frozen=True)
class TarSource:
    """A tar archive, read once from front to end; its members share the fingerprint of the archive."""

    path: Path
    opener: Opener

    def contents(self) -> Contents:
        """Return its volumes and tables; reading to the end finds damage here."""
        dicom: dict[PurePosixPath, str] = {}
        entries = checked((entry for entry, _ in self._members(dicom)), str(self.path))
        return Contents(entries, dicom=list(dicom.values()))

    def fetch(self, wanted: Mapping[Entry, Path], revision: str | None) -> Generator[Entry, None, None]:
        """Unpack the entries, in the order of the archive."""
        require_space_for(wanted)
        waiting = dict(wanted)
        for entry, chunks in self._members({}):
            target = waiting.pop(entry, None)
            if target is not None:
                write_chunks(chunks, target, entry, str(self.path))
                yield entry
        if waiting:
            raise changed(f"{self.path}, {next(iter(waiting)).path}")

    def _members(self, dicom: dict[PurePosixPath, str]) -> Iterator[tuple[Entry, Iterable[bytes]]]:
        """Yield the volumes and tables with their bytes, and put the first DICOM file of each folder into `dicom`."""
        with _reading(self.path):
            state = self.path.stat()
            fingerprint = f"{state.st_size}-{written_at(state)}"
            with self.opener(self.path) as packed:
                stream: Any = Bounded(packed, self.path, max(state.st_size * MOST_TIMES, LEAST_BOUND))
                with tarfile.open(fileobj=stream, mode="r|", tarinfo=StrictHeader) as archive:
                    for info in archive:
                        # tarfile keeps every header, and a small archive may hold millions.
                        archive.members.clear()  # type: ignore[attr-defined]  # typeshed leaves it out
                        path = self._checked_path(info)
                        member = archive.extractfile(info) if info.isreg() else None
                        if member is None:
                            continue
                        if is_release_file(path):
                            yield Entry(path, info.size, fingerprint), _chunks(self.path, member)
                        elif is_dicom_name(path) or (may_be_dicom(path) and is_dicom_start(member.read(START_BYTES))):
                            dicom.setdefault(PurePosixPath(path).parent, path)
                        # tarfile would skip a member by counting to the size in its header, however large.
                        for _ in _chunks(self.path, member):
                            pass
                    # Only padding follows the end mark; the checksum of a compressed file comes last.
                    while chunk := archive.fileobj.read(CHUNK_BYTES):
                        if any(chunk):
                            raise tarfile.ReadError("more follows the mark of its end")

    def _checked_path(self, info: tarfile.TarInfo) -> str:
        if info.isdir() and info.name in (".", "./", ""):
            return "."
        path = _member_path(info.name, self.path)
        plain = (info.isreg() and not info.issparse()) or info.isdir()
        if not (plain or (is_hidden(path) and info.type in tarfile.SUPPORTED_TYPES)):
            raise SourceError(self.path, f"holds {path}, which is not a plain file; pack the file itself instead")
        return path
