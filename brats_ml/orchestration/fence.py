"""Ends a stage whose task is gone: nobody would take its result, and the retry does the same work."""

import os
import signal
import time
from threading import Thread

import psutil

# Names the task: its process id and start time; set by the task, unset for people.
VARIABLE = "BRATS_HOLDER"
POLL_S = 1.0
GRACE_S = 30.0


def holder() -> str:
    """Return the value of `VARIABLE` for stages that this process starts."""
    own = psutil.Process()
    return f"{own.pid}:{own.create_time()}"


def watch() -> None:
    """Ask this process to end once its holder is gone, and end it after a grace time; without a holder do nothing.

    The holder's own supervisor restarts it, on this host or another, only when it is dead; so no stage ever writes
    beside its retry for longer than the grace time.
    """
    value = os.environ.get(VARIABLE)
    if value:
        Thread(target=_watch, args=(value,), daemon=True).start()


def _watch(value: str) -> None:
    pid, _, created = value.partition(":")
    while _alive(int(pid), float(created)):
        time.sleep(POLL_S)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os._exit(128 + signal.SIGKILL)


def _alive(pid: int, created: float) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(process.create_time() == created and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
