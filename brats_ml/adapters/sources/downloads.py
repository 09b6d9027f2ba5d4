"""A cache of downloaded files, so that one more case downloads one case, and a retry resumes."""

import os
import re
import stat
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from brats_ml import locks
from brats_ml.adapters.content_cache import READ_ONLY, link
from brats_ml.adapters.sources.base import Entry, file_digest, require_space
from brats_ml.files import digest_file, digest_value, replacing
from brats_ml.workspace.state import DIGEST_SUFFIX

# Suffix of a file that is not complete.
UNFINISHED = ".part"


@dataclass(frozen=True)
class Downloads:
    """A folder of complete files, each named by the digest of its source, path, size and fingerprint.

    Nothing writes to a complete file, since others are linked to it, and DVC makes all of them read-only.
    `brats prune` removes files that nothing is linked to.
    """

    folder: Path

    def place(self, source: str, entry: Entry) -> Path:
        """Return the path of an entry of a source, downloaded or not."""
        digest = digest_value([source, entry.path, entry.bytes, entry.fingerprint])
        return self.folder / digest[:2] / digest[2:]

    def missing(self, source: str, entries: Iterable[Entry]) -> list[Entry]:
        """Return the entries of a source that are not downloaded yet.

        Raises:
            StorageError: They do not fit on the disk.
        """
        found = [entry for entry in entries if not is_whole(self.place(source, entry), entry)]
        self.folder.mkdir(parents=True, exist_ok=True)
        require_space(found, self.folder)
        return found


def is_whole(place: Path, entry: Entry) -> bool:
    """Return whether a downloaded file can be trusted: it is read-only, and has its size and its SHA-256.

    Where the source knows no size, this compares the MD5, if that is the fingerprint. A file of an older release has no
    note of its SHA-256.
    """
    try:
        state = place.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(state.st_mode) or state.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        return False
    if entry.bytes is None and re.fullmatch(r"[0-9a-f]{32}", entry.fingerprint):
        return file_digest(place, "md5").hex() == entry.fingerprint
    if entry.bytes not in (None, state.st_size):
        return False
    note = _note(place)
    return not note.exists() or note.read_bytes() == digest_file(place).encode()


def _note(place: Path) -> Path:
    """Return the file with the SHA-256 of a downloaded file; it is in a folder of its own, which is never pruned."""
    folder = place.parents[1]
    return folder.with_name(folder.name + DIGEST_SUFFIX) / place.parent.name / place.name


@contextmanager
def unfinished(place: Path, entry: Entry) -> Iterator[Path | None]:
    """Yield the file that becomes `place` when the context succeeds, or None where `place` is complete already.

    The file keeps what an earlier try downloaded. A second caller, in this process or another, waits for the first.
    """
    part = place.with_name(place.name + UNFINISHED)
    part.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab") as held:
        locks.lock_until_closed(held, holder="another process, which downloads the same file")
        if is_whole(place, entry):
            if not held.tell():
                part.unlink(missing_ok=True)
            yield None
            return
        yield part
        with part.open("rb") as complete:
            os.fsync(complete.fileno())  # else a crash of the machine leaves a name without its bytes
        with replacing(_note(place)) as note:
            note.write_text(digest_file(part))
        part.replace(place)
        place.chmod(READ_ONLY)  # last, so that a kill before it leaves a file that `is_whole` does not trust


def in_parallel(
    wanted: Mapping[Entry, Path], download: Callable[[Entry, threading.Event], Path], *, workers: int
) -> Generator[Entry, None, None]:
    """Download entries in parallel, and link each to its file when it is complete.

    Args:
        wanted: Entries, each with its file.
        download: Returns the downloaded file of an entry; stops when the event is set.
        workers: Number of parallel downloads.

    Yields:
        Each entry when its file is complete. The first error stops the others.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(workers) as pool:
        try:
            started = {pool.submit(download, entry, stop): entry for entry in wanted}
            for done in as_completed(started):
                entry = started[done]
                link(done.result(), wanted[entry])
                yield entry
        finally:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
