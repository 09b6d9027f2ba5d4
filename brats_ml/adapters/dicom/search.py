"""Find DICOM files by their names and, where a name says nothing, by their first bytes."""

from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from brats_ml.cohort.dicom import START_BYTES, is_dicom_name, is_dicom_start, may_be_dicom


def find_dicom(folder: Path, names: Iterable[str]) -> list[str]:
    """Return one DICOM file of each folder that holds some.

    Args:
        folder: The folder of the files.
        names: The files, relative to it and `/`-separated.
    """
    return one_of_each_folder(names, lambda name: _start(folder / name))


def one_of_each_folder(names: Iterable[str], start: Callable[[str], bytes]) -> list[str]:
    """Return the first DICOM file of each folder.

    Args:
        names: Paths, `/`-separated.
        start: Returns the first `START_BYTES` bytes of a file. It is called for files that may be DICOM by their names.
    """
    found: dict[PurePosixPath, str] = {}
    for name in sorted(names):
        folder = PurePosixPath(name).parent
        if folder not in found and (is_dicom_name(name) or (may_be_dicom(name) and is_dicom_start(start(name)))):
            found[folder] = name
    return list(found.values())


def _start(path: Path) -> bytes:
    """Return the first bytes of a file; a pipe, or a file that cannot be read, is no case, so it is no error here."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(START_BYTES)
    except OSError:
        return b""
