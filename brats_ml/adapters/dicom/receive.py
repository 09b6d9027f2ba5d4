"""Copy a study from a folder or an archive, whole or not at all."""

import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

from brats_ml import files
from brats_ml.adapters.folder_walk import walk
from brats_ml.errors import ChangedSourceError, MissingInputError, SourceError, StorageError

DAMAGE = (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError)


def receive(source: Path, target: Path) -> int:
    """Copy all files of a study as they are, and return their number.

    Args:
        source: A folder, or an archive that Python can unpack.
        target: The new folder.

    Raises:
        MissingInputError: There is no such source.
        SourceError: The archive is damaged, or the study grows while it is read.
        StorageError: The disk is full.
    """
    if not source.exists():
        raise MissingInputError(source, remedy="name the folder or the archive of a study with --from")
    with files.replacing(target) as unfinished:
        unfinished.mkdir()
        if source.is_dir():
            _copy(source, unfinished)
        else:
            _unpack(source, unfinished)
        return sum(1 for _ in walk(unfinished))


def _copy(source: Path, target: Path) -> None:
    before = _listing(source)
    _require_space(sum(size for size, _ in before.values()), target)
    # Names of files may hold names of patients, so the copies are numbered.
    for number, name in enumerate(sorted(before)):
        shutil.copyfile(source / name, target / f"{number:06d}.dcm")
    if _listing(source) != before:
        raise ChangedSourceError(source, "grew or changed while it was read; wait until it is complete, and try again")


def _listing(source: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for name in walk(source):
        try:
            state = (source / name).stat()
        except FileNotFoundError as error:
            raise ChangedSourceError(source, "changed while it was read; try again") from error
        found[name] = (state.st_size, state.st_mtime_ns)
    return found


def _unpack(source: Path, target: Path) -> None:
    # Within the target, so that what a kill leaves goes with it.
    with tempfile.TemporaryDirectory(prefix=".", dir=target) as scratch:
        unpacked = Path(scratch)
        try:
            if zipfile.is_zipfile(source):
                with zipfile.ZipFile(source) as archive:
                    _require_space(sum(member.file_size for member in archive.infolist()), target)
                    archive.extractall(unpacked)  # noqa: S202 - zipfile removes what would leave the folder
            else:
                with tarfile.open(source) as archive:
                    _require_space(sum(member.size for member in archive), target)
                    archive.extractall(unpacked, filter="data")
        except DAMAGE as error:
            raise SourceError(source, "is no zip or tar archive, or it is damaged; pack it again") from error
        _copy(unpacked, target)


def _require_space(needed: int, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(f"no space for {needed:,} bytes on the disk of {folder.parent}, which has {free:,} left")
