"""Results kept by what they were made from, beside the pipeline's outs, so that one more case costs one case."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from brats_ml.files import digest_file, replacing, write_json

# What is linked to several places may be written in none of them.
READ_ONLY = 0o444
NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES})


def cached_json(path: Path, make: Callable[[], Any]) -> Any:
    """Return the JSON value at `path`, made by `make` where it is not there or cannot be read.

    Args:
        path: Named after a digest of everything that the value is made from.
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
        path: Named after a digest of everything that its content is made from.
        write: Makes the file at the path given.
        note: Keeps the length and the digest.
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
    """Return the JSON value at `path`, None where it is not there or damaged."""
    with suppress(FileNotFoundError, ValueError):
        value = json.loads(path.read_text(encoding="utf-8"))
        os.utime(path)  # still of use: `brats prune` removes what is old
        return value
    return None


def link(stored: Path, target: Path) -> None:
    """Let `target` be a stored file without another copy of its bytes, or a copy where the disk cannot link."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(stored, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(stored, target)
