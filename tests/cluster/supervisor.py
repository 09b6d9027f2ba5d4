"""Keeps the servers of a cluster running: it starts each one again that ends, until it is asked to end them all."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Event

import psutil

from brats_ml import files
from brats_ml.orchestration.runs.processes import end_marked, start_marked
from tests.cluster.services import STORES, services
from tests.cluster.settings import Cluster

POLL_S = 0.2
# A server that cannot start yet, since another is down, tries again after this time.
RESTART_S = 2.0


class Supervisor:
    """The parent of all servers of a cluster."""

    def __init__(self, folder: Path) -> None:
        """Take the folder of an existing cluster."""
        self.folder = folder
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self.started: dict[str, float] = {}
        self.over = Event()

    def run(self) -> None:
        """Keep the servers running until SIGTERM, then end them."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.over.set())
        names = list(services(self._cluster()))
        while not self.over.wait(POLL_S):
            for name in names:
                self._keep(name)
        self._end([name for name in names if name not in STORES])
        self._end(STORES)
        end_marked(self.folder)

    def _cluster(self) -> Cluster:
        return Cluster.of(self.folder, self.folder)

    def _keep(self, name: str) -> None:
        child = self.children.get(name)
        if child is not None and child.poll() is None:
            return
        if hold_file(self.folder, name).exists() or time.monotonic() - self.started.get(name, -RESTART_S) < RESTART_S:
            return
        service = services(self._cluster())[name]
        log = self.folder / f"logs/{name}.log"
        self.started[name] = time.monotonic()
        self.children[name] = start_marked(service.command, root=self.folder, variables=service.variables, log=log)
        self._record()

    def _record(self) -> None:
        running = {name: child.pid for name, child in self.children.items() if child.poll() is None}
        files.write_json(self.folder / "processes.json", running)

    def _end(self, names: Iterable[str]) -> None:
        known = services(self._cluster())
        living = {name: child for name, child in self.children.items() if name in names and child.poll() is None}
        for child in living.values():
            child.terminate()
        deadline = time.monotonic() + max((known[name].grace_s for name in living), default=0)
        for child in living.values():
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=max(0.0, deadline - time.monotonic()))
            kill_tree(child.pid)


def hold_file(folder: Path, name: str) -> Path:
    """Return the file that keeps a server from being started while it exists."""
    return folder / f"held/{name}"


def kill_tree(pid: int) -> None:
    """Kill a process and all that it started, at once."""
    try:
        process = psutil.Process(pid)
        # A stopped parent starts nothing new while its children are listed.
        process.suspend()
        victims = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.kill()


if __name__ == "__main__":
    Supervisor(Path(sys.argv[1])).run()
