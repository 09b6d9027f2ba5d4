"""Two workers on two hosts: PID, network, mount and host-name namespaces of their own, and one folder for both.

Both have the same host name and give the same process ids, as two containers of one image do.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.run import Prepared, Run
from brats_ml.workspace.state import State

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

HOST = ["unshare", *(["--map-root-user"] if os.geteuid() else []), "--pid", "--net", "--uts", "--mount", "--fork"]
HOST += ["--mount-proc", "--kill-child", "sh", "-c", 'hostname worker && "$@"; exit $?', "sh"]
PIPELINE = """
stages:
  work: {cmd: python work.py work, outs: [work.out]}
  other: {cmd: python work.py other, outs: [other.out]}
"""
# A stage that notes each tenth of a second in which it works, on which host.
STAGE = """
import os, sys, time
from pathlib import Path
from brats_ml.orchestration.runs import watchdog
watchdog.watch()
for _ in range(int(os.environ["BEATS"])):
    with open(os.environ["JOURNAL"], "a") as journal:
        print(os.environ["HOST"], sys.argv[1], file=journal)
    time.sleep(0.1)
Path(sys.argv[1] + ".out").write_text("done")
"""
TASK = """
import sys
from pathlib import Path
from types import SimpleNamespace
from airflow.sdk.exceptions import AirflowSkipException
from brats_ml.orchestration.dag.operators import StageOperator
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.run import Run
from brats_ml.workspace.state import State

folder, state, stage = sys.argv[1:]
operator = StageOperator(task_id=stage, checkout=folder, address=stage)
try:
    operator.work({"ti": SimpleNamespace(map_index=-1)}, Run(Locations(folder, State(Path(state))), "dag", "run"))
except AirflowSkipException:
    print("skipped")
print("task has ended")
"""


class Hosts:
    """The shared folder of the hosts, and the tasks that run on them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.repository, self.journal = folder, folder / "repository", folder / "journal"
        self.started: list[subprocess.Popen[str]] = []
        self.repository.mkdir()
        (self.repository / "dvc.yaml").write_text(PIPELINE)
        (self.repository / "params.yaml").write_text("")
        (self.repository / "work.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{STAGE}")
        git = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
        for command in ([*git, "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
            subprocess.run(command, cwd=self.repository, check=True)
        for command in ([*git, "add", "-A"], [*git, "commit", "-q", "-m", "first"]):
            subprocess.run(command, cwd=self.repository, check=True)
        self.run = Run(Locations(str(self.repository), State(folder / "state")), "dag", "run")
        self.run.pin("HEAD", lambda _: Prepared())

    def start(self, host: str, stage: str, *, beats: int, clock: str | None = None) -> subprocess.Popen[str]:
        """Start a task on a host with a clock of its own, which does `beats` tenths of a second of work."""
        variables = {"PYTHONPATH": str(ROOT), "HOST": host, "BEATS": str(beats), "JOURNAL": str(self.journal)}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        home = {"AIRFLOW_HOME": str(self.folder / f"airflow-{host}-{stage}"), "PATH": path}
        shift = ["faketime", "-f", clock] if clock else []
        command = [*shift, sys.executable, "-c", TASK, self.repository, self.run.locations.state.path, stage]
        with (self.folder / f"{host}-{stage}.log").open("w") as log:
            process = subprocess.Popen(
                [*HOST, *map(str, command)],
                env={**os.environ, **variables, **home},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self.started.append(process)
        return process

    def said(self, host: str, stage: str) -> str:
        return (self.folder / f"{host}-{stage}.log").read_text()

    def beats(self) -> list[str]:
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < deadline, {path.name: path.read_text() for path in self.folder.glob("*.log")}
            time.sleep(0.05)

    def end(self) -> None:
        for process in self.started:
            process.kill()  # the namespace ends with it
            process.wait()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    try:
        subprocess.run([*HOST, "true"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"this user can make no namespaces: {getattr(error, 'stderr', None) or error}")
    made = Hosts(tmp_path)
    yield made
    made.end()


def kill_host(process: subprocess.Popen[str]) -> None:
    """Cut the power of a host."""
    process.kill()
    process.wait()


def kill_task(process: subprocess.Popen[str]) -> None:
    """Kill the task alone; DVC and its stage live on."""
    for child in psutil.Process(process.pid).children(recursive=True):
        if TASK in child.cmdline():
            child.kill()
            return
    pytest.fail("there is no task")


@pytest.mark.parametrize("clock", [None, "-10m", "+10m"])
@pytest.mark.parametrize("kill", [kill_host, kill_task])
def test_a_retry_on_another_host_starts_after_the_killed_holder_is_gone_and_never_before(
    hosts: Hosts, kill: Callable[[subprocess.Popen[str]], None], clock: str | None
) -> None:
    if clock and not shutil.which("faketime"):
        pytest.skip("faketime is not installed")
    first = hosts.start("first", "work", beats=3000)
    hosts.wait(lambda: len(hosts.beats()) > 2)
    second = hosts.start("second", "work", beats=3, clock=clock)
    hosts.wait(lambda: "waiting for an earlier try" in hosts.said("second", "work"))
    seen = len(hosts.beats())
    hosts.wait(lambda: len(hosts.beats()) > seen + 10)
    assert set(hosts.beats()) == {"first work"}

    kill(first)

    assert second.wait(timeout=120) == 0, hosts.said("second", "work")
    beats = hosts.beats()
    assert beats == sorted(beats)
    assert beats[-3:] == ["second work"] * 3
    assert (hosts.run.workspace / "work.out").read_text() == "done"


def test_a_retry_waits_for_a_living_holder_and_takes_its_result(hosts: Hosts) -> None:
    first = hosts.start("first", "work", beats=100)
    hosts.wait(lambda: len(hosts.beats()) > 2)
    second = hosts.start("second", "work", beats=3, clock="+10m" if shutil.which("faketime") else None)

    assert (first.wait(timeout=120), second.wait(timeout=120)) == (0, 0)
    assert hosts.beats() == ["first work"] * 100
    assert "skipped" in hosts.said("second", "work")


def test_an_entry_of_a_living_dvc_on_another_host_stays_and_that_of_a_dead_one_goes(hosts: Hosts) -> None:
    record = hosts.run.workspace / ".dvc/tmp/rwlock"
    first = hosts.start("first", "work", beats=3000)
    hosts.wait(lambda: len(hosts.beats()) > 2)
    entries = json.loads(record.read_text())["write"]

    assert hosts.start("second", "other", beats=1).wait(timeout=120) == 0, hosts.said("second", "other")
    assert json.loads(record.read_text())["write"] == entries != {}
    kill_host(first)
    (hosts.run.workspace / "other.out").unlink()
    assert hosts.start("third", "other", beats=1).wait(timeout=120) == 0, hosts.said("third", "other")
    assert json.loads(record.read_text()).get("write", {}) == {}
    assert "removed entries of ended processes" in hosts.said("third", "other")
