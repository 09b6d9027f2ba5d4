"""The locks of a task that runs a command: whoever holds one is alive, on whatever host.

The task holds the first one, and so does the command, which inherits it. DVC hands down no open files, so the stage
that it starts holds a second one (`watchdog.watch`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from brats_ml import locks
from brats_ml.workspace.state import RunRecord

EARLIER = "an earlier try of this task, which still runs, perhaps on another host"


@contextmanager
def held(record: RunRecord, work: str) -> Iterator[IO[Any]]:
    """Hold the locks of a task; wait until every process of an earlier try has ended.

    Yields:
        The open lock file, for the command to inherit.
    """
    with locks.exclusive(record.task_lock(work), holder=EARLIER) as file:
        with locks.exclusive(record.work_lock(work), holder=EARLIER):
            pass
        yield file


def is_alive(record: RunRecord, work: str) -> bool:
    """Return whether a process on any host works for a task."""
    return locks.is_held(record.task_lock(work)) or locks.is_held(record.work_lock(work))
