"""Every file below a folder, links followed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from brats_ml.cohort.release_files import is_hidden
from brats_ml.errors import SourceError

# Of folders in folders: far more than a release has, and far less than the interpreter can follow.
MAX_DEPTH = 100


def walk(folder: Path, *, loops: Literal["refuse", "skip"] = "refuse") -> Iterator[str]:
    """Yield every file below a folder, relative to it and `/`-separated; links are followed, as cohorts have many.

    What is hidden is left out.

    Args:
        folder: Where to start.
        loops: What to do with a folder that links lead to a second time, be it from inside itself.

    Raises:
        SourceError: A folder cannot be read, lies too deep, or is reached a second time.
    """
    yield from _walk(folder, "", loops, {})


def _walk(folder: Path, prefix: str, loops: str, seen: dict[tuple[int, int], Path]) -> Iterator[str]:
    if prefix.count("/") > MAX_DEPTH:
        raise SourceError(f"{str(folder)[:200]}...", f"lies more than {MAX_DEPTH} folders deep; move it up")
    try:
        state = folder.stat()
        with os.scandir(folder) as found:
            children = sorted((child.name, child.is_dir()) for child in found if not is_hidden(child.name))
    except OSError as error:
        path, reason = error.filename or folder, error.strerror or error
        raise SourceError(path, f"cannot be read ({reason}); let this user read it, or take it out") from error
    before = seen.setdefault((state.st_dev, state.st_ino), folder)
    if before != folder:
        if loops == "skip":
            return
        if before in folder.parents:
            raise SourceError(folder, f"is a link that leads back to {before}, which holds it; remove the link")
        raise SourceError(folder, f"is the same folder as {before}, by a link; remove one of the two ways")
    for name, is_folder in children:
        if is_folder:
            yield from _walk(folder / name, f"{prefix}{name}/", loops, seen)
        else:
            yield f"{prefix}{name}"
