"""A stage reports how it ended, and ends with its task."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from brats_ml import environment
from brats_ml.errors import CaseError, ServiceError
from brats_ml.orchestration.runs import outcomes
from brats_ml.orchestration.runs.processes import Child, end_marked

ROOT = Path(__file__).resolve().parents[2]
PYTHON = sys.executable


@pytest.mark.parametrize(
    ("error", "transient", "sentence"),
    [
        (CaseError("BraTS20_001", "has no t1"), False, "case BraTS20_001: has no t1"),
        (ServiceError("MLflow does not answer"), True, "MLflow does not answer"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), False, "no space is left on the disk of /data/x"),
        (OSError(errno.EIO, "Input/output error", "/data/x"), True, "the disk failed to read or write /data/x"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "/data/x"), False, "/data/x cannot be used: Is a directory"),
        (shutil.Error([("/a", "/b", "[Errno 5] Input/output error")]), False, "/b cannot be copied ([Errno 5]"),
        (MemoryError("cannot allocate"), False, "the memory is exhausted"),
        (ConnectionResetError("reset by peer"), True, "ConnectionResetError: reset by peer"),
        (KeyError("x"), True, "KeyError: 'x'"),
    ],
)
def test_an_error_that_a_person_must_fix_is_not_tried_again(error: Exception, transient: bool, sentence: str) -> None:
    found = outcomes.failure(error)

    assert found.transient is transient
    assert found.sentence.startswith(sentence)


def test_an_outcome_that_was_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment.OUTCOME.name, str(tmp_path / "outcome.json"))
    written = outcomes.Outcome("done", links={"MLflow": "http://127.0.0.1"}, details={"shards": [["a"]]})

    outcomes.write(written)

    assert outcomes.read(tmp_path / "outcome.json") == written


def test_without_a_task_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(environment.OUTCOME.name, raising=False)

    outcomes.write(outcomes.Outcome("done"))

    assert outcomes.read(tmp_path / "outcome.json") is None


def test_a_command_leaves_its_failure_where_its_task_looks(tmp_path: Path) -> None:
    variables = {**os.environ, environment.OUTCOME.name: str(tmp_path / "outcome.json"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [PYTHON, "-m", "brats_ml", "split", "--root", str(tmp_path)],
        cwd=ROOT, env=variables, check=False, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    outcome = outcomes.read(tmp_path / "outcome.json")

    assert done.returncode == 1
    assert outcome is not None
    assert done.stderr == f"brats: {outcome.sentence}\n"
    assert (outcome.error, outcome.transient) == ("MissingInputError", False)


def test_a_command_refuses_to_run_the_code_of_another_checkout(tmp_path: Path) -> None:
    (tmp_path / "brats_ml").mkdir()
    done = subprocess.run(
        [PYTHON, "-m", "brats_ml", "split", "--root", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    assert done.returncode == 1
    assert f"run `python -m brats_ml` in {tmp_path}" in done.stderr


def started(pid: int) -> str:
    """Return what Linux says of a process in the field of its start time, by another way than the watchdog's."""
    fields = Path(f"/proc/{pid}/stat").read_text().split(") ")[-1].split()
    return fields[19]


@pytest.mark.parametrize("gone", ["task", "supervisor"])
def test_a_stage_ends_soon_after_its_task_or_the_supervisor_of_it_is_gone(gone: str) -> None:
    own = f"{os.getpid()}:{started(os.getpid())}"
    with subprocess.Popen([PYTHON, "-c", "import time; time.sleep(60)"]) as task:
        watching = (
            "import time; from brats_ml.orchestration.runs import watchdog; watchdog.watch(); print('on', flush=True)"
        )
        victim = f"{task.pid}:{started(task.pid)}"
        value = f"{victim} {own}" if gone == "task" else f"{own} {victim}"
        with subprocess.Popen(
            [PYTHON, "-c", f"{watching}; time.sleep(60)"],
            cwd=ROOT, env={**os.environ, environment.HOLDER.name: value}, stdout=subprocess.PIPE,
        ) as stage:  # fmt: skip
            assert stage.stdout is not None
            assert stage.stdout.readline() == b"on\n"
            assert stage.poll() is None
            task.kill()

            assert stage.wait(timeout=20) == -signal.SIGTERM


def test_what_an_earlier_try_left_at_work_is_found_and_ended(tmp_path: Path) -> None:
    """In a session of its own, and with its parent gone, as after the kill of a task."""
    mark = str(tmp_path / "task")
    sleep = "[sys.executable, '-c', 'import time; time.sleep(60)']"
    orphan = f"import subprocess, sys; subprocess.Popen({sleep}, start_new_session=True)"
    subprocess.run([PYTHON, "-c", orphan], env={**os.environ, environment.TASK.name: mark}, check=True)

    assert end_marked(mark, mark=environment.TASK, grace_s=1) == 1
    assert end_marked(mark, mark=environment.TASK, grace_s=1) == 0


def test_a_command_that_leaves_a_process_behind_does_not_keep_its_reader_waiting(tmp_path: Path) -> None:
    """As when DVC alone is killed, and its stage still holds the output open."""
    leaves = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)"
    )
    child = Child([PYTHON, "-c", leaves], folder=tmp_path)
    begun = time.monotonic()

    (pid,) = child.lines()

    assert time.monotonic() - begun < 30
    assert child.wait() == 0
    assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE


def test_a_process_that_left_the_group_of_its_command_is_not_waited_for(tmp_path: Path) -> None:
    """As with a daemon in a session of its own that inherited the output."""
    daemon = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)"
    mark = str(tmp_path / "task")
    leaves = f"import subprocess, sys; print({daemon}.pid)"
    child = Child([PYTHON, "-c", leaves], folder=tmp_path, variables={environment.TASK.name: mark})
    begun = time.monotonic()

    assert len(list(child.lines())) == 1
    assert time.monotonic() - begun < 30
    assert end_marked(mark, mark=environment.TASK, grace_s=1) == 1
    assert child.wait() == 0
