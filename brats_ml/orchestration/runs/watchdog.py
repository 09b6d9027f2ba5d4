"""Ends a stage after its task: nobody would take the result, and a retry does the same work."""

import os
import signal
import time
from pathlib import Path
from threading import Thread

from brats_ml import environment, locks

POLL_S = 1.0
GRACE_S = 30.0


def holder() -> str:
    """Return the value of `environment.HOLDER` for stages that this process starts.

    It names the supervisor too: Airflow gives up a task without one, though the task may run on for long.
    """
    return " ".join(f"{pid}:{_started(pid)}" for pid in (os.getpid(), os.getppid()))


def watch() -> None:
    """Ask this process to end once a holder is gone, and kill it after a grace time; do nothing without a holder.

    Airflow starts the task again, on this host or another, only after one of the two is dead. The retry waits for the
    work lock, which this process holds to its end.
    """
    lock, value = environment.WORK_LOCK.read(), environment.HOLDER.read()
    if lock:
        locks.share_until_end(Path(lock))
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

    /proc/PID/stat (proc_pid_stat(5)) has the name in parentheses, then the state and 18 fields, then the start time.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
