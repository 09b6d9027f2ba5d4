"""Every file in a folder and its folders; links are followed."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from brats_ml.cohort.release_files import is_hidden
from brats_ml.errors import SourceError

# Releases have far fewer folders in folders, and the interpreter can follow far more.
MAX_DEPTH = 100

Unreadable = Callable[[SourceError], None]


def walk(
    folder: Path, *, loops: Literal["refuse", "skip"] = "refuse", unreadable: Unreadable | None = None
) -> Iterator[str]:
    """Yield every file in a folder, relative to it and `/`-separated; links are followed, as cohorts have many.

    Hidden files and folders are left out.

    Args:
        folder: Where to start.
        loops: What to do with a folder that a link reaches a second time.
        unreadable: Called with the error of each folder that cannot be read or is nested too deeply, which is then
            left out; by default the error is raised.

    Raises:
        SourceError: A folder cannot be read, is nested too deeply, or is reached a second time.
    """
    yield from _walk(folder, "", loops, unreadable or _refuse, {})


def _refuse(error: SourceError) -> None:
    raise error


def _walk(
    folder: Path, prefix: str, loops: str, unreadable: Unreadable, seen: dict[tuple[int, int], Path]
) -> Iterator[str]:
    if prefix.count("/") > MAX_DEPTH:
        unreadable(SourceError(f"{str(folder)[:200]}...", f"is more than {MAX_DEPTH} folders deep; move it up"))
        return
    try:
        state = folder.stat()
        with os.scandir(folder) as found:
            visible = [child for child in found if not is_hidden(child.name)]
    except OSError as error:
        unreadable(_unreadable(folder, error))
        return
    before = seen.setdefault((state.st_dev, state.st_ino), folder)
    if before != folder:
        if loops == "skip":
            return
        if before in folder.parents:
            raise SourceError(folder, f"is a link back to {before}, which contains it; remove the link")
        raise SourceError(folder, f"is the same folder as {before}, by a link; remove one of the two ways")
    for child in sorted(visible, key=lambda child: child.name):
        if _is_folder(child, unreadable):
            yield from _walk(folder / child.name, f"{prefix}{child.name}/", loops, unreadable, seen)
        else:
            yield f"{prefix}{child.name}"


def _is_folder(child: os.DirEntry[str], unreadable: Unreadable) -> bool:
    try:
        return child.is_dir()
    except OSError as error:
        unreadable(_unreadable(Path(child.path), error))
        return False


def _unreadable(path: Path, error: OSError) -> SourceError:
    where, reason = error.filename or path, error.strerror or error
    return SourceError(where, f"cannot be read ({reason}); grant read permission, or remove it")
