"""Every file in a folder and its folders; links are followed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from brats_ml.cohort.release_files import is_hidden
from brats_ml.errors import SourceError

# Releases have far fewer folders in folders, and the interpreter can follow far more.
MAX_DEPTH = 100


def walk(folder: Path, *, loops: Literal["refuse", "skip"] = "refuse") -> Iterator[str]:
    """Yield every file in a folder, relative to it and `/`-separated; links are followed, as cohorts have many.

    Hidden files and folders are left out.

    Args:
        folder: Where to start.
        loops: What to do with a folder that a link reaches a second time.

    Raises:
        SourceError: A folder cannot be read, is nested too deeply, or is reached a second time.
    """
    yield from _walk(folder, "", loops, {})


def _walk(folder: Path, prefix: str, loops: str, seen: dict[tuple[int, int], Path]) -> Iterator[str]:
    if prefix.count("/") > MAX_DEPTH:
        raise SourceError(f"{str(folder)[:200]}...", f"is more than {MAX_DEPTH} folders deep; move it up")
    try:
        state = folder.stat()
        with os.scandir(folder) as found:
            children = sorted((child.name, child.is_dir()) for child in found if not is_hidden(child.name))
    except OSError as error:
        path, reason = error.filename or folder, error.strerror or error
        raise SourceError(path, f"cannot be read ({reason}); grant read permission, or remove it") from error
    before = seen.setdefault((state.st_dev, state.st_ino), folder)
    if before != folder:
        if loops == "skip":
            return
        if before in folder.parents:
            raise SourceError(folder, f"is a link back to {before}, which contains it; remove the link")
        raise SourceError(folder, f"is the same folder as {before}, by a link; remove one of the two ways")
    for name, is_folder in children:
        if is_folder:
            yield from _walk(folder / name, f"{prefix}{name}/", loops, seen)
        else:
            yield f"{prefix}{name}"
