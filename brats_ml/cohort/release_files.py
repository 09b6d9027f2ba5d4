"""Recognise the volumes and clinical tables of a release by their paths alone."""

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

VOLUMES = ("*.nii", "*.nii.gz")
# The names that BraTS 2020 gives to its two tables.
NAME_MAPPING, SURVIVAL_INFO = "name_mapping.csv", "survival_info.csv"
MAPPING = "*mapping*.csv"
TABLES = (MAPPING, "*survival*.csv")
# The file name that a table of ready-made features gets among the cohort's tables.
READY_FEATURES = "survival_features.csv"


def is_hidden(path: str) -> bool:
    """Return whether a file is hidden, is in a hidden folder, or was added to an archive by macOS."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(path).parts)


def is_volume(path: str) -> bool:
    """Return whether a path is that of a volume; upper and lower case count the same."""
    return not is_hidden(path) and any(fnmatchcase(PurePosixPath(path).name.lower(), pattern) for pattern in VOLUMES)


def is_table(path: str) -> bool:
    """Return whether a path is that of a clinical table; upper and lower case count the same."""
    return not is_hidden(path) and any(fnmatchcase(PurePosixPath(path).name.lower(), pattern) for pattern in TABLES)


def is_mapping(path: str) -> bool:
    """Return whether a path is that of a mapping table, which says which names mean one patient."""
    return fnmatchcase(PurePosixPath(path).name.lower(), MAPPING)


def is_release_file(path: str) -> bool:
    """Return whether a path is that of a volume or a clinical table."""
    return is_volume(path) or is_table(path)
