"""A zip or tar archive as a source; nothing is written outside the target folder, and no link is followed."""

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
from pathlib import Path
from typing import IO, Any, Self

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
    written_at,
)
from brats_ml.cohort.release_files import is_hidden, is_release_file
from brats_ml.errors import BratsError, SourceError

# Unlike tarfile, which can decompress too, these compare the checksum at the end.
Opener = Callable[[Path], Any]
TARS: dict[str, Opener] = {
    ".tar": lambda path: path.open("rb"),
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tar.xz": lzma.open,
}
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    gzip.BadGzipFile,
    EOFError,
    ValueError,
    RecursionError,  # of long names that each name the next
)


def archive_source(path: Path) -> "ZipSource | TarSource":
    """Return the source for an archive, by the suffix of its name.

    Raises:
        SourceError: It is no archive of a known kind.
    """
    name = path.name.lower()
    if name.endswith(".zip"):
        return ZipSource(path)
    for suffix, opener in TARS.items():
        if name.endswith(suffix):
            return TarSource(path, opener)
    raise SourceError(path, f"is neither a folder nor an archive that ends in .zip, {', '.join(TARS)}")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what damaged or unreadable bytes raise into a sentence."""
    try:
        yield
    except BratsError:
        raise
    except NotImplementedError as error:
        raise SourceError(path, f"is packed in a way that cannot be read ({error}); pack it anew") from error
    except DAMAGE as error:
        raise SourceError(path, f"is damaged or incomplete ({error}); get it again") from error
    except OSError as error:
        # The decompressors raise OSError without a number for damage, the system one with a number.
        if error.errno is None:
            raise SourceError(path, f"is damaged or incomplete ({error}); get it again") from error
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
        raise SourceError(path, f"holds {name!r}, a name that would leave its folder; it is refused as a whole")
    check_path(inside, str(path))
    return inside


ZIP_END, ZIP_END_BYTES, ZIP_COMMENT_BYTES = b"PK\x05\x06", 22, 65535
# Two bytes hold the number of members; who writes more of them in the old form keeps the lower ones, as macOS does;
# and the new form has the highest number there.
MEMBERS_MODULO = 1 << 16


def _told_members(path: Path) -> int:
    """Return how many members the end of a zip tells, which zipfile does not compare."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - ZIP_END_BYTES - ZIP_COMMENT_BYTES))
        tail = file.read()
    end = tail.rfind(ZIP_END)
    return int.from_bytes(tail[end + 10 : end + 12], "little")


@dataclass(frozen=True)
class ZipSource:
    """A zip archive; a member's fingerprint is its CRC."""

    path: Path

    def contents(self) -> Contents:
        """Return the volumes and tables of its directory."""
        with _reading(self.path), zipfile.ZipFile(self.path) as archive:
            return Contents(checked(self._members(archive), str(self.path)))

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
        told, held = _told_members(self.path), len(archive.infolist())
        if told not in (held % MEMBERS_MODULO, MEMBERS_MODULO - 1):
            raise zipfile.BadZipFile(f"its end tells {told} members and its directory {held}")
        for info in archive.infolist():
            path = _member_path(info.filename, self.path)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir() or is_hidden(path):
                continue
            if kind not in (0, stat.S_IFREG):
                raise SourceError(self.path, f"holds {path}, which is no plain file; pack what it stands for instead")
            if is_release_file(path):
                if info.flag_bits & 1:
                    raise SourceError(self.path, f"is encrypted ({path}); unpack it and name the folder instead")
                found.append((Entry(path, info.file_size, f"{info.CRC:08x}"), info))
        checked((entry for entry, _ in found), str(self.path))
        return dict(found)


# Long names and the like, which tarfile reads into memory whole; the system allows paths of 4096 bytes.
EXTENDED_TYPES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
EXTENDED_BYTES = 1 << 20


class _StrictHeader(tarfile.TarInfo):
    """A header whose damage is told; tarfile takes a damaged one, or none, for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            # The class of the mark that ends an archive, which tarfile does not publish to type checkers.
            if type(error).__name__ == "EOFHeaderError":
                raise
            raise tarfile.ReadError(str(error)) from error
        if header.size < 0 or (header.type in EXTENDED_TYPES and header.size > EXTENDED_BYTES):
            raise tarfile.ReadError(f"a header that tells {header.size} bytes")
        return header


# A gzip of zeros is a thousand times smaller; nothing that was measured comes near. A small archive may be of zeros.
MOST_TIMES = 1000
LEAST_BOUND = 1 << 30


class _Bounded:
    """The bytes of a tar, up to a number; what is no part of a cohort is decompressed too, and asks for no room."""

    def __init__(self, stream: IO[bytes], path: Path, bound: int) -> None:
        self._stream, self._path, self._left = stream, path, bound

    def read(self, size: int) -> bytes:
        chunk = self._stream.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise SourceError(self._path, f"unpacks to more than {MOST_TIMES:,} times its size; pack the volumes alone")
        return chunk


@dataclass(frozen=True)
class TarSource:
    """A tar archive, read once from front to end; its members share the fingerprint of the file."""

    path: Path
    opener: Opener

    def contents(self) -> Contents:
        """Return its volumes and tables; what is compressed is decompressed to the end, so damage is seen here."""
        return Contents(checked((entry for entry, _ in self._members()), str(self.path)))

    def fetch(self, wanted: Mapping[Entry, Path], revision: str | None) -> Generator[Entry, None, None]:
        """Unpack the entries, in the order of the archive."""
        require_space_for(wanted)
        waiting = dict(wanted)
        for entry, chunks in self._members():
            target = waiting.pop(entry, None)
            if target is not None:
                write_chunks(chunks, target, entry, str(self.path))
                yield entry
        if waiting:
            raise changed(f"{self.path}, {next(iter(waiting)).path}")

    def _members(self) -> Iterator[tuple[Entry, Iterable[bytes]]]:
        with _reading(self.path):
            state = self.path.stat()
            fingerprint = f"{state.st_size}-{written_at(state)}"
            with self.opener(self.path) as packed:
                stream: Any = _Bounded(packed, self.path, max(state.st_size * MOST_TIMES, LEAST_BOUND))
                with tarfile.open(fileobj=stream, mode="r|", tarinfo=_StrictHeader) as archive:
                    for info in archive:
                        path = self._checked_path(info)
                        member = archive.extractfile(info) if info.isreg() else None
                        if member is None:
                            continue
                        if is_release_file(path):
                            yield Entry(path, info.size, fingerprint), _chunks(self.path, member)
                        # To go past a member tarfile would count to the size that its header tells, however large.
                        for _ in _chunks(self.path, member):
                            pass
                    # After the mark of its end there is only padding; the checksum of a compressed file comes last.
                    while chunk := archive.fileobj.read(CHUNK_BYTES):
                        if any(chunk):
                            raise tarfile.ReadError("more follows the mark of its end")

    def _checked_path(self, info: tarfile.TarInfo) -> str:
        if info.isdir() and info.name in (".", "./", ""):
            return "."
        path = _member_path(info.name, self.path)
        plain = (info.isreg() and not info.issparse()) or info.isdir()
        if not (plain or (is_hidden(path) and info.type in tarfile.SUPPORTED_TYPES)):
            raise SourceError(self.path, f"holds {path}, which is no plain file; pack what it stands for instead")
        return path
