"""Which files of a release hold volumes and which hold tables, by their names."""

from fnmatch import fnmatchcase
from pathlib import PurePosixPath

TABLES = ("*name_mapping*.csv", "*survival*.csv")


def is_table(path: str) -> bool:
    """Return whether a `/`-separated path names a clinical table or a mapping of names; hidden ones never do."""
    parts = PurePosixPath(path).parts
    if any(part.startswith(".") or part == "__MACOSX" for part in parts):
        return False
    return any(fnmatchcase(parts[-1].lower(), pattern) for pattern in TABLES)
