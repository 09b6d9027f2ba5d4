"""How a stage tells the task that started it how it ended: a small file, since `dvc repro` hides exit statuses."""

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from brats_ml.errors import BratsError, StorageError

# Names the file; set by the task, unset for people.
VARIABLE = "BRATS_OUTCOME"
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True)
class Outcome:
    """How a stage ended.

    Attributes:
        sentence: What came out, or what went wrong and what to do.
        error: Class of the error, None where there was none.
        transient: Whether another try may succeed.
        links: Title to address of a page about the result.
        details: JSON-ready values of the stage's own.
    """

    sentence: str
    error: str | None = None
    transient: bool = False
    links: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


def write(outcome: Outcome) -> None:
    """Write the outcome where the task that started this process looks for it; without such a task do nothing."""
    path = os.environ.get(VARIABLE)
    if path:
        temporary = Path(f"{path}.{os.getpid()}")
        temporary.write_text(json.dumps(asdict(outcome)))
        temporary.replace(path)


def read(path: Path) -> Outcome | None:
    """Return the outcome at `path`, None where the stage left none."""
    return Outcome(**json.loads(path.read_text())) if path.is_file() else None


def expected(error: BaseException) -> BratsError | None:
    """Return the error that a person can act on, or None for a defect of the program.

    A full disk and exhausted memory befall any line of code; they become a sentence here.
    """
    if isinstance(error, BratsError):
        return error
    if isinstance(error, OSError) and error.errno in FULL:
        where = f" on the disk of {error.filename}" if error.filename else ""
        return StorageError(f"no space is left{where}: free some (`brats prune` may), then run the same again")
    if isinstance(error, MemoryError):
        return StorageError(
            f"the memory is exhausted ({error or 'no details'}): make the work smaller or the machine larger"
        )
    return None


def failure(error: BaseException) -> Outcome:
    """Return the outcome of a stage that an error ended; a defect may be chance, so it is worth another try."""
    known = expected(error)
    if known is not None:
        return Outcome(str(known), error=type(known).__name__, transient=known.transient)
    return Outcome(f"{type(error).__name__}: {error}", error=type(error).__name__, transient=True)
