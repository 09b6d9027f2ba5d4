"""Which files of a release are volumes and which are clinical tables, told by their paths alone."""

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

VOLUMES = ("*.nii", "*.nii.gz")
# As BraTS 2020 calls its two tables.
NAME_MAPPING, SURVIVAL_INFO = "name_mapping.csv", "survival_info.csv"
MAPPING = "*mapping*.csv"
TABLES = (MAPPING, "*survival*.csv")
# What a table of ready-made features is called wherever it came from.
READY_FEATURES = "survival_features.csv"


def is_hidden(path: str) -> bool:
    """Return whether a file or one of its folders is hidden, or is what macOS adds to archives."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(path).parts)


def is_volume(path: str) -> bool:
    """Return whether a path is a volume's, in any case of its letters."""
    return not is_hidden(path) and any(fnmatchcase(PurePosixPath(path).name.lower(), pattern) for pattern in VOLUMES)


def is_table(path: str) -> bool:
    """Return whether a path is a clinical table's, in any case of its letters."""
    return not is_hidden(path) and any(fnmatchcase(PurePosixPath(path).name.lower(), pattern) for pattern in TABLES)


def is_mapping(path: str) -> bool:
    """Return whether a table, by its path, says which names mean one patient."""
    return fnmatchcase(PurePosixPath(path).name.lower(), MAPPING)


def is_release_file(path: str) -> bool:
    """Return whether a path is a volume's or a clinical table's."""
    return is_volume(path) or is_table(path)
