"""Child processes: a task's, ended as a group; those of a checkout's servers, found by a mark and ended whole."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "BRATS_SERVERS"
SERVERS_GRACE_S = 10.0


class Child:
    """A command in a process group of its own, whose output is read line by line."""

    def __init__(self, command: Sequence[str], *, folder: Path) -> None:
        """Start `command` in `folder`."""
        self.command = list(command)
        self._process = subprocess.Popen(
            self.command,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def lines(self) -> Iterator[str]:
        """Yield each line of standard output and standard error as it comes, without its end."""
        if self._process.stdout is not None:
            for line in self._process.stdout:
                yield line.rstrip()

    def wait(self) -> int:
        """Stop reading and return the exit status once the command has ended; negative if a signal ended it."""
        with self._process as process:
            return process.wait()

    def end(self, *, grace_s: float) -> None:
        """Ask the whole group to end, and kill what is left of it after `grace_s` seconds."""
        self._signal(signal.SIGTERM)
        # The group is killed either way: its leader may be gone and a member still be there.
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=grace_s)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Where nobody is left in the group, what was wanted has happened.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def start_marked(
    command: Sequence[str], *, root: Path, environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own that outlives this process; its output is appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    # Airflow and gunicorn rename their processes, which would overwrite the mark; SPT_NOENV keeps it.
    marked = {**os.environ, **environment, MARK: str(root), "SPT_NOENV": "1"}
    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            cwd=root,
            env=marked,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def marked(root: Path) -> list[psutil.Process]:
    """Return every process that descends from a server of `root`, but for this one and its parents."""
    own = {process.pid for process in (psutil.Process(), *psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in own and process.environ().get(MARK) == str(root):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it has just ended, or is another user's and so not ours
    return found


def end_marked(root: Path, *, grace_s: float = SERVERS_GRACE_S) -> int:
    """End every marked process of `root`: asked first, killed after `grace_s` seconds; return how many there were.

    psutil compares start times before it signals, so a process id that was given anew is never hit.
    """
    ended: set[psutil.Process] = set()
    while processes := marked(root):
        for process in processes:
            _signal(process, kill=process in ended)
        ended.update(processes)
        psutil.wait_procs(processes, timeout=grace_s)
    return len(ended)


def _signal(process: psutil.Process, *, kill: bool) -> None:
    try:
        if kill:
            process.kill()
        else:
            process.terminate()
    except psutil.NoSuchProcess:
        pass  # it ended by itself in the meantime
