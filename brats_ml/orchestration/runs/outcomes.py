"""How a command reports its end to its task: by a small file, since `dvc repro` hides exit statuses."""

import errno
import json
import shutil
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from brats_ml import environment
from brats_ml.errors import BratsError, StorageError
from brats_ml.files import write_json
from brats_ml.redaction import redacted

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
PASSING = frozenset({errno.EIO, errno.ESTALE, errno.ENXIO, errno.ETIMEDOUT})
WRONG = {
    errno.EACCES: "give this user permission for it",
    errno.EPERM: "give this user permission for it",
    errno.EROFS: "write to another disk, or mount this one for writing",
    errno.EISDIR: "move the folder away, since a file belongs there",
    errno.ENOTDIR: "move the file away, since a folder belongs there",
}


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        sentence: The result, or what went wrong and what to do.
        error: Class of the error, None where there was none.
        transient: Whether another try may succeed.
        links: Address of each page about the result, by its title.
        details: JSON-ready values for the task.
    """

    sentence: str
    error: str | None = None
    transient: bool = False
    links: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


def write(outcome: Outcome) -> None:
    """Write the outcome where the task of this process reads it; do nothing in a process without a task."""
    path = environment.OUTCOME.read()
    if path:
        write_json(Path(path), asdict(outcome))


def read(path: Path) -> Outcome | None:
    """Return the outcome at `path`, None where the command left none."""
    return Outcome(**json.loads(path.read_text())) if path.is_file() else None


def expected(error: BaseException) -> BratsError | None:
    """Return the error that a person can act on, or None for a defect of the program.

    The disk and exhausted memory can end any line of code, so they get their sentences here.
    """
    if isinstance(error, BratsError):
        return error
    if isinstance(error, OSError):
        return _of_the_disk(error)
    if isinstance(error, MemoryError):
        return StorageError(
            f"the memory is exhausted ({error or 'no details'}): make the work smaller or use a larger machine"
        )
    return None


def _of_the_disk(error: OSError) -> StorageError | None:
    if isinstance(error, shutil.Error):  # copying a folder collects what went wrong, as texts
        _, target, reason = error.args[0][0]
        return StorageError(f"{target} cannot be copied ({reason}): check the disk, then run the same command again")
    where = f" {error.filename}" if error.filename else ""
    if error.errno in FULL:
        on = f" on the disk of{where}" if where else ""
        return StorageError(f"no space is left{on}: free some (`brats prune` may), then run the same command again")
    if error.errno in PASSING:
        remedy = "run the same command again, and check the disk if the error stays"
        return StorageError(f"the disk failed to read or write{where} ({error.strerror}): {remedy}", transient=True)
    if error.errno in WRONG:
        return StorageError(f"{where.strip() or 'a file'} cannot be used: {error.strerror}; {WRONG[error.errno]}")
    return None


def failure(error: BaseException) -> Outcome:
    """Return the outcome of a command that an error ended; a defect may not happen again, so it is transient."""
    known = expected(error)
    if known is not None:
        return Outcome(str(known), error=type(known).__name__, transient=known.transient)
    return Outcome(redacted(f"{type(error).__name__}: {error}"), error=type(error).__name__, transient=True)


def message(error: BaseException) -> str:
    """Return what a command prints about the error that ends it: one sentence, or the traceback of a defect.

    A library may quote an address with its password, so neither has credentials.
    """
    known = expected(error)
    return f"brats: {known}\n" if known else redacted("".join(traceback.format_exception(error)))
