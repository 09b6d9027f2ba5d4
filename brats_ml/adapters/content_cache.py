"""A cache of results, keyed by their inputs, so that one more case costs one case."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from brats_ml.files import digest_file, replacing, write_json

# Writing to a linked file would change it in every place.
READ_ONLY = 0o444
NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES})


def cached_json(path: Path, make: Callable[[], Any]) -> Any:
    """Return the JSON value at `path`; `make` makes it where it is missing or damaged.

    Args:
        path: File named after a digest of everything that the value is made from.
        make: Returns the value.
    """
    value = _noted(path)
    if value is None:
        value = make()
        write_json(path, value)
    return value


def cached_file(path: Path, write: Callable[[Path], None], *, note: Path) -> str:
    """Return the digest of the file at `path`; `write` makes it where it is missing or has another length than it had.

    Args:
        path: File named after a digest of everything that its content is made from.
        write: Makes the file at a path.
        note: File that keeps the length and the digest.
    """
    made = _noted(note)
    if made is None or not path.is_file() or path.stat().st_size != made["bytes"]:
        with replacing(path) as temporary:
            write(temporary)
            temporary.chmod(READ_ONLY)
            made = {"bytes": temporary.stat().st_size, "digest": digest_file(temporary)}
        write_json(note, made)
    return str(made["digest"])


def _noted(path: Path) -> Any:
    """Return the JSON value at `path`, None where it is missing or damaged."""
    with suppress(FileNotFoundError, ValueError):
        value = json.loads(path.read_text(encoding="utf-8"))
        os.utime(path)  # `brats prune` removes files that have not been used for long
        return value
    return None


def link(stored: Path, target: Path) -> None:
    """Link `target` to a stored file, or copy the file where the disk cannot link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(stored, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(stored, target)
