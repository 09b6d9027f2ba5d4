"""Which files of a source belong to a release: volumes and tables, wherever they lie."""

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

VOLUMES = ("*.nii", "*.nii.gz")
TABLES = ("*name_mapping*.csv", "*survival*.csv")


def is_volume(path: str) -> bool:
    """Return whether a relative, `/`-separated path names a NIfTI volume."""
    return not _is_hidden(path) and any(fnmatchcase(PurePosixPath(path).name, pattern) for pattern in VOLUMES)


def is_table(path: str) -> bool:
    """Return whether a relative, `/`-separated path names a table of patients, in whatever case it is spelled."""
    return not _is_hidden(path) and any(fnmatchcase(PurePosixPath(path).name.lower(), pattern) for pattern in TABLES)


def _is_hidden(path: str) -> bool:
    """Return whether a path is or lies in what systems add to folders and archives by themselves."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(path).parts)
