"""A cache of results, keyed by their inputs, so that one more case costs one case."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from brats_ml.files import digest_file, replacing, unsealed, write_json, write_sealed
from brats_ml.workspace.state import Cache

LOG = logging.getLogger(__name__)

# Writing to a linked file would change it in every place.
READ_ONLY = 0o444
NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES})


def cached_json(path: Path, make: Callable[[], Any]) -> Any:
    """Return the JSON value at `path`; `make` makes it where it is missing, damaged or changed.

    Args:
        path: File named after a digest of everything that the value is made from.
        make: Returns the value.
    """
    kept = unsealed(_kept_json(path))
    if kept is not None:
        return kept["value"]
    _say_if_changed(path)
    value = make()
    write_sealed(path, {"value": value}, scratch=_scratch(path))
    return value


def cached_file(path: Path, write: Callable[[Path], None], *, note: Path) -> str:
    """Return the digest of the file at `path`; `write` makes it where it is missing, damaged or changed.

    Args:
        path: File named after a digest of everything that its content is made from.
        write: Makes the file at a path.
        note: File that keeps the digest.
    """
    kept = _kept_json(note)
    if isinstance(kept, dict) and path.is_file() and kept.get("digest") == digest_file(path):
        return str(kept["digest"])
    _say_if_changed(path)
    with replacing(path, scratch=_scratch(path)) as temporary:
        write(temporary)
        temporary.chmod(READ_ONLY)
        digest = digest_file(temporary)
    write_json(note, {"digest": digest}, scratch=_scratch(note))
    return digest


def _scratch(path: Path) -> Path:
    """Return where a file of a cache is written: each write lists that folder, and a cache has a file for each case."""
    return Cache(path.parent).unfinished


def _kept_json(path: Path) -> Any:
    """Return the JSON value at `path`, None where it is missing or damaged."""
    with suppress(FileNotFoundError, ValueError):
        value = json.loads(path.read_text(encoding="utf-8"))
        os.utime(path)  # `brats prune` removes files that have not been used for long
        return value
    return None


def _say_if_changed(path: Path) -> None:
    if path.exists():
        LOG.warning("the cached result %s is damaged or was changed: it is made again", path)


def link(stored: Path, target: Path) -> None:
    """Link `target` to a stored file, or copy the file where the disk cannot link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(stored, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(stored, target)
