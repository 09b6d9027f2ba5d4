"""A folder as a source; links are followed."""

import stat
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from brats_ml.adapters import folder_walk
from brats_ml.adapters.dicom.search import find_dicom
from brats_ml.adapters.sources.base import (
    CHUNK_BYTES,
    Contents,
    Entry,
    changed,
    checked,
    unreadable,
    write_chunks,
)
from brats_ml.adapters.sources.downloads import Downloads, in_parallel, unfinished
from brats_ml.cohort.release_files import is_release_file
from brats_ml.errors import SourceError
from brats_ml.reading import written_at

# Two copies at a time keep a disk busy, and more of them make it seek.
WORKERS = 2


@dataclass(frozen=True)
class FolderSource:
    """A folder with cases at any depth."""

    folder: Path
    downloads: Downloads

    def contents(self) -> Contents:
        """Return the folder's volumes and tables by size and times."""
        paths = list(folder_walk.walk(self.folder))
        entries = (file_entry(self.folder / path, path) for path in paths if is_release_file(path))
        return Contents(checked(entries, str(self.folder)), dicom=find_dicom(self.folder, paths))

    def fetch(self, wanted: Mapping[Entry, Path], revision: str | None) -> Generator[Entry, None, None]:
        """Copy each entry once, so that one more case copies one case, and link the copies to their files."""
        self.downloads.missing(str(self.folder), wanted)
        return in_parallel(wanted, self._copy, workers=WORKERS)

    def _copy(self, entry: Entry, stop: Event) -> Path:
        place = self.downloads.place(str(self.folder), entry)
        with unfinished(place, entry) as part:
            if part is not None:
                if stop.is_set():
                    raise CancelledError
                copy_entry(self.folder / entry.path, entry, part)
        return place


def file_entry(path: Path, name: str) -> Entry:
    """Return a file's entry under a name.

    Raises:
        SourceError: The file is missing, unreadable or not a regular file.
    """
    try:
        state = path.stat()
    except FileNotFoundError as error:
        raise SourceError(path, "is a broken symlink; fix it or remove it") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(state.st_mode):
        raise SourceError(path, "is not a regular file; remove it")
    return Entry(name, state.st_size, written_at(state))


def copy_entry(path: Path, entry: Entry, target: Path) -> None:
    """Copy a listed file; a link would change the raw data whenever somebody edits the source.

    Raises:
        SourceError: The file changed after it was listed or while it was copied, or cannot be read.
    """
    if not path.is_file() or file_entry(path, entry.path) != entry:
        raise changed(path)
    write_chunks(read_chunks(path), target, entry, str(path))
    if not path.is_file() or file_entry(path, entry.path) != entry:
        raise changed(path)


def read_chunks(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes.

    Raises:
        SourceError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise unreadable(path, error) from error
