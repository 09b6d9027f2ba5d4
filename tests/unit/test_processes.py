"""A task's command and a checkout's servers are ended whole, and nothing else is."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from brats_ml.environment import SERVERS
from brats_ml.orchestration.runs.processes import Child, end_marked, marked, start_marked

PYTHON = sys.executable
SLEEP = "import time; time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {SLEEP}"
# Starts a grandchild, prints its id, and waits.
PARENT = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid, flush=True); {SLEEP}"


def gone(pid: int, *, within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_lines_come_while_the_command_still_runs(tmp_path: Path) -> None:
    child = Child([PYTHON, "-c", f"print('first'); {SLEEP}"], folder=tmp_path)

    assert next(child.lines()) == "first"
    child.end(grace_s=1)
    assert child.wait() < 0


def test_both_outputs_and_the_status_of_a_command_are_read(tmp_path: Path) -> None:
    child = Child(
        [PYTHON, "-c", "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)"], folder=tmp_path
    )

    assert list(child.lines()) == ["one", "two"]
    assert child.wait() == 3


def test_ending_a_command_ends_what_it_started(tmp_path: Path) -> None:
    child = Child([PYTHON, "-c", PARENT], folder=tmp_path)
    grandchild = int(next(child.lines()))

    child.end(grace_s=1)

    assert child.wait() < 0
    assert gone(grandchild)


def test_a_command_deaf_to_the_polite_signal_is_killed_after_the_grace_time(tmp_path: Path) -> None:
    child = Child([PYTHON, "-c", DEAF], folder=tmp_path)
    assert next(child.lines()) == "deaf"
    begun = time.monotonic()

    child.end(grace_s=0.5)

    assert child.wait() == -9
    assert 0.5 <= time.monotonic() - begun < 5


def test_a_command_can_be_ended_while_another_thread_reads_it(tmp_path: Path) -> None:
    child = Child([PYTHON, "-c", SLEEP], folder=tmp_path)
    threading.Timer(0.3, child.end, kwargs={"grace_s": 1}).start()

    assert list(child.lines()) == []
    assert child.wait() < 0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = start_marked([PYTHON, "-c", PARENT], root=tmp_path, variables={}, log=tmp_path / "logs/server.log")
    deadline = time.monotonic() + 10
    while not (tmp_path / "logs/server.log").read_text().strip() and time.monotonic() < deadline:
        time.sleep(0.05)
    yield process
    end_marked(tmp_path, grace_s=1)
    process.wait()


def test_a_server_is_found_with_what_it_started(tmp_path: Path, server: subprocess.Popen[bytes]) -> None:
    grandchild = int((tmp_path / "logs/server.log").read_text())

    assert {process.pid for process in marked(tmp_path)} == {server.pid, grandchild}


def test_ending_servers_ends_what_they_started_in_any_session(tmp_path: Path, server: subprocess.Popen[bytes]) -> None:
    grandchild = int((tmp_path / "logs/server.log").read_text())

    assert end_marked(tmp_path, grace_s=2) == 2

    assert gone(server.pid)
    assert gone(grandchild)
    assert end_marked(tmp_path, grace_s=2) == 0


def test_servers_of_another_checkout_are_left_alone(tmp_path: Path, server: subprocess.Popen[bytes]) -> None:
    assert end_marked(tmp_path / "other", grace_s=1) == 0
    assert server.poll() is None


def test_whoever_ends_the_servers_survives_it_though_a_task_started_it(tmp_path: Path) -> None:
    imports = "from pathlib import Path; from brats_ml.orchestration.runs.processes import end_marked"
    script = f"{imports}; print(end_marked(Path({str(tmp_path)!r})))"
    environment = {**os.environ, SERVERS.name: str(tmp_path)}

    done = subprocess.run([PYTHON, "-c", script], env=environment, stdout=subprocess.PIPE, text=True, check=True)

    assert done.stdout == "0\n"
