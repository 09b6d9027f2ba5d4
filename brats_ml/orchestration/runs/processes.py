"""Child processes of a task, which end as a group, and the servers of a checkout, which are found by a mark."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any

import psutil

from brats_ml import environment

SERVERS_GRACE_S = 10.0
POLL_S = 0.2
# A process that holds a command's output open for longer than this after the command's end is an orphan.
LAST_WORDS_S = 1.0
ORPHANS_GRACE_S = 10.0


class Child:
    """A command in its own process group; `lines` reads its output line by line."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        variables: Mapping[str, str] | None = None,
        inherited: Sequence[IO[Any]] = (),
    ) -> None:
        """Start `command` in `folder`, with `variables` added to this process's own and the open files `inherited`."""
        self.command = list(command)
        self._process = subprocess.Popen(
            self.command,
            cwd=folder,
            env=environment.for_child({"PYTHONUNBUFFERED": "1", **(variables or {})}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=[file.fileno() for file in inherited],
        )
        self._reader: Thread | None = None

    def lines(self) -> Iterator[str]:
        """Yield each line of standard output and standard error as it comes, without the line end.

        The last line is yielded soon after the command ends. Processes that the command leaves in its group are ended.
        A process that has left the group may hold the output open; nobody waits for it.
        """
        lines: SimpleQueue[str | None] = SimpleQueue()
        self._reader = Thread(target=self._pump, args=(lines,), daemon=True)
        self._reader.start()
        ended_at = None
        while True:
            with suppress(Empty):
                line = lines.get(timeout=POLL_S)
                if line is None:
                    return
                yield line
            if ended_at is None and self._process.poll() is not None:
                ended_at = time.monotonic()
            if ended_at is not None and time.monotonic() - ended_at > LAST_WORDS_S:
                if self._group_lives():
                    self.end(grace_s=ORPHANS_GRACE_S)
                    ended_at = time.monotonic()
                else:
                    return

    def _pump(self, lines: "SimpleQueue[str | None]") -> None:
        if self._process.stdout is not None:
            for line in self._process.stdout:
                lines.put(line.rstrip())
        lines.put(None)

    def wait(self) -> int:
        """Wait for the end of the command and of its output; return the exit status, negative for a signal."""
        status = self._process.wait()
        if self._reader is not None:
            self._reader.join(timeout=LAST_WORDS_S)
        # A reader that still waits holds the stream's lock, and `close` would wait for it.
        if self._process.stdout is not None and not (self._reader and self._reader.is_alive()):
            self._process.stdout.close()
        return status

    def end(self, *, grace_s: float) -> None:
        """Ask the whole group to end, and kill the rest of it after `grace_s` seconds."""
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while self._group_lives() and time.monotonic() < deadline:
            self._process.poll()  # reaps the leader; as a zombie it would count as a living member
            time.sleep(POLL_S / 4)
        self._signal(signal.SIGKILL)

    def _group_lives(self) -> bool:
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        # An empty group is what the caller wants.
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


def start_marked(
    command: Sequence[str], *, root: Path, variables: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, which outlives this process; append its output to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    # Airflow and gunicorn rename their processes, which would overwrite the mark; SPT_NOENV keeps it.
    marked = {**variables, environment.SERVERS.name: str(root), "SPT_NOENV": "1"}
    with log.open("ab") as output:
        return subprocess.Popen(
            list(command),
            cwd=root,
            env=environment.for_child(marked),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def marked(value: Path | str, *, mark: environment.Variable = environment.SERVERS) -> list[psutil.Process]:
    """Return every process that has `value` in the variable `mark`, except this process and its parents.

    With a checkout as value and the mark of servers, these are its servers and all processes that they started.
    Descendants count without the mark, since Airflow hides the environment of its workers from all users but root.
    """
    own = {process.pid for process in (psutil.Process(), *psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in own and process.environ().get(mark.name) == str(value):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue  # it has just ended, or belongs to another user and so is not ours
    return list(dict.fromkeys(one for process in found for one in (process, *_descendants(process, own))))


def _descendants(process: psutil.Process, own: set[int]) -> list[psutil.Process]:
    try:
        return [child for child in process.children(recursive=True) if child.pid not in own]
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def end_marked(
    value: Path | str, *, mark: environment.Variable = environment.SERVERS, grace_s: float = SERVERS_GRACE_S
) -> int:
    """Ask every process that `marked` finds to end, and kill the rest after `grace_s` seconds.

    psutil compares start times before it sends a signal, so no other process with a reused id is hit.

    Returns:
        How many processes were found.
    """
    ended: set[psutil.Process] = set()
    while processes := marked(value, mark=mark):
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
        pass  # it has ended by itself
