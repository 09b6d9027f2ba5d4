"""Ends a stage whose task is gone: nobody would take its result, and the retry does the same work."""

import os
import signal
import time
from pathlib import Path
from threading import Thread

# Names the task and its supervisor, a process id and start time each; set by the task, unset for people.
VARIABLE = "BRATS_HOLDER"
POLL_S = 1.0
GRACE_S = 30.0


def holder() -> str:
    """Return the value of `VARIABLE` for stages that this process starts.

    The supervisor counts, since a task without one is given up by Airflow though it may go on for long.
    """
    return " ".join(f"{pid}:{_started(pid)}" for pid in (os.getpid(), os.getppid()))


def watch() -> None:
    """Ask this process to end once a holder is gone, and end it after a grace time; without a holder do nothing.

    The task is started again, on this host or another, only when the one or the other is dead; so no stage ever writes
    beside its retry for longer than the grace time.
    """
    value = os.environ.get(VARIABLE)
    if value:
        Thread(target=_watch, args=(value,), daemon=True).start()


def _watch(value: str) -> None:
    holders = [(int(pid), started) for pid, _, started in (part.partition(":") for part in value.split())]
    while all(_started(pid) == started for pid, started in holders):
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(128 + signal.SIGKILL)


def _started(pid: int) -> str | None:
    """Return the start time of a living process in ticks since boot, which no clock moves; None of any other.

    From /proc/PID/stat (proc_pid_stat(5)): behind the name in parentheses stand the state and 18 fields before the
    start time.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
