"""Recognise DICOM, which is never read, so that nobody wonders why a patient is missing."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from brats_ml.cohort.release_files import is_hidden, is_table, is_volume

SUFFIXES = (".dcm", ".dicom", ".ima")
# Part 10 of the standard, https://dicom.nema.org: a preamble of 128 bytes, then this.
PREAMBLE_BYTES, MAGIC = 128, b"DICM"
START_BYTES = PREAMBLE_BYTES + len(MAGIC)
# Scanners name files by their unique identifier, such as MR.1.2.840.113619.2.5.1.
UNIQUE_IDENTIFIER = re.compile(r"(?:[A-Z]{2}\.)?\d+(?:\.\d+){5,}", re.IGNORECASE)
DIRECTORY = "dicomdir"
ADVICE = (
    "convert each series to NIfTI with dcm2niix, co-register the modalities of a patient to 1 mm, strip the skull, and "
    "name the results as docs/how-to/real-data.md says"
)


def is_dicom_name(path: str) -> bool:
    """Return whether a path is that of DICOM by its name alone."""
    name = PurePosixPath(path).name.lower()
    named = name.endswith(SUFFIXES) or name == DIRECTORY or UNIQUE_IDENTIFIER.fullmatch(name) is not None
    return named and not is_hidden(path)


def may_be_dicom(path: str) -> bool:
    """Return whether only the bytes of a file show if it is DICOM: its name has no suffix, or a number as suffix."""
    suffix = PurePosixPath(path).suffix[1:]
    return not (is_hidden(path) or is_volume(path) or is_table(path)) and (not suffix or suffix.isdigit())


def is_dicom_start(start: bytes) -> bool:
    """Return whether the first `START_BYTES` bytes of a file are those of DICOM."""
    return start[PREAMBLE_BYTES:START_BYTES] == MAGIC


def dicom_folders(dicom: Iterable[str], volumes: Iterable[str]) -> dict[str, str]:
    """Return folders of DICOM, each with one of its files; all series of a patient without volumes are one folder.

    Args:
        dicom: DICOM files, relative to one folder and `/`-separated.
        volumes: The volumes in the same folder.

    Returns:
        The highest folder above each DICOM file that holds no volume, or else the file's own folder.
    """
    with_volumes = {parent for file in volumes for parent in PurePosixPath(file).parents}
    found: dict[str, str] = {}
    for file in sorted(dicom):
        own, *above = PurePosixPath(file).parents
        highest = next(
            (folder for folder in (*reversed(above), own) if folder not in with_volumes | {PurePosixPath()}), own
        )
        found.setdefault(str(highest), file)
    return found
