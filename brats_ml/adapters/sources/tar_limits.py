"""Read a tar strictly and up to a limit, since a small archive may promise terabytes."""

import tarfile
from pathlib import Path
from typing import IO, Self

from brats_ml.errors import SourceError

# Members with long names and the like. tarfile reads them whole into memory; the system allows paths of 4096 bytes.
EXTENDED_TYPES = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
EXTENDED_BYTES = 1 << 20


class StrictHeader(tarfile.TarInfo):
    """A header that raises when it is damaged; tarfile takes a damaged one, or none, for the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return the header of a block.

        Raises:
            ReadError: The block is damaged, or states an absurd size.
        """
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            # tarfile does not publish this class, which marks the end of an archive, to type checkers.
            if type(error).__name__ == "EOFHeaderError":
                raise
            raise tarfile.ReadError(str(error)) from error
        if header.size < 0 or (header.type in EXTENDED_TYPES and header.size > EXTENDED_BYTES):
            raise tarfile.ReadError(f"a header that states {header.size} bytes")
        return header


# A gzip of zeros is a thousand times smaller; no measured volume comes near. A small archive may consist of zeros.
MOST_TIMES = 1000
LEAST_BOUND = 1 << 30


class Bounded:
    """The bytes of a tar up to a limit, since reading also decompresses members that no cohort needs."""

    def __init__(self, stream: IO[bytes], path: Path, bound: int) -> None:
        self._stream, self._path, self._left = stream, path, bound

    def read(self, size: int) -> bytes:
        """Return the next bytes.

        Raises:
            SourceError: There are more than the limit.
        """
        chunk = self._stream.read(size)
        self._left -= len(chunk)
        if self._left < 0:
            raise SourceError(self._path, f"unpacks to more than {MOST_TIMES:,} times its size; pack only the volumes")
        return chunk
