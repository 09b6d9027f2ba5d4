"""A lock that is held is waited for with a sentence, and one that cannot be taken is refused with one."""

import errno
import fcntl
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from brats_ml import locks
from brats_ml.errors import ServiceError, StorageError

HOLD = """
import sys, time
from pathlib import Path
from brats_ml import locks
with locks.{kind}(Path(sys.argv[1]), holder="nobody"):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def held_elsewhere(path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold a lock, until it is killed or the context ends."""
    command = [sys.executable, "-c", HOLD.format(kind=kind), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        yield holder
        holder.kill()


@pytest.mark.parametrize(("held", "wanted"), [("exclusive", "exclusive"), ("exclusive", "shared")])
def test_whoever_waits_for_a_lock_says_what_for_and_gets_it_after_the_holder_is_killed(
    held: str, wanted: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state/.lock"
    with held_elsewhere(path, held) as holder:
        threading.Timer(locks.SILENT_S + 0.5, holder.kill).start()
        with caplog.at_level(logging.WARNING), getattr(locks, wanted)(path, holder="another process that publishes"):
            pass

    assert caplog.messages == [f"waiting for another process that publishes (lock {path})"]


def test_a_lock_that_is_free_is_taken_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with locks.exclusive(tmp_path / ".lock", holder="nobody"), locks.shared(tmp_path / "other", holder="nobody"):
        pass

    assert caplog.messages == []


def test_many_share_a_lock_and_whoever_wants_it_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runs.lock"

    with locks.shared(path, holder="nobody"), held_elsewhere(path, "shared"):
        refused = pytest.raises(ServiceError, match="a task is at work")
        with refused, locks.alone(path, refusal="a task is at work"):
            pass
    with locks.alone(path, refusal="a task is at work"):
        pass


def test_an_open_file_stays_locked_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "case.part"
    with path.open("ab") as file:
        locks.lock_until_closed(file, holder="nobody")
        with pytest.raises(ServiceError, match="is written"), locks.alone(path, refusal="is written"):
            pass
    with locks.alone(path, refusal="is written"):
        pass


def test_a_lock_is_held_by_the_child_that_inherits_it_after_its_parent_has_let_go(tmp_path: Path) -> None:
    path = tmp_path / "work.task"
    assert not locks.is_held(path)
    with locks.exclusive(path, holder="nobody") as file:
        child = subprocess.Popen(["sleep", "60"], pass_fds=[file.fileno()])
    assert locks.is_held(path)
    child.kill()
    child.wait()
    assert not locks.is_held(path)


def test_locks_of_a_common_disk_work(tmp_path: Path) -> None:
    locks.check(tmp_path / "state")

    assert list((tmp_path / "state").iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS])
def test_a_file_system_without_locks_is_refused_by_name(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, "No locks")

    monkeypatch.setattr(fcntl, "flock", refuse)

    with pytest.raises(StorageError, match=r"offers no locks \(No locks\): keep the folder of BRATS_STATE"):
        locks.check(tmp_path)


def test_locks_that_keep_nobody_out_are_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)

    with pytest.raises(StorageError, match="two processes can hold the same lock in"):
        locks.check(tmp_path)


@pytest.mark.parametrize("kind", ["exclusive", "shared"])
def test_a_lock_that_cannot_be_written_is_refused_by_name(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # The tests may run as root, who may write anywhere.
    monkeypatch.setattr(Path, "mkdir", refuse)

    with (
        pytest.raises(StorageError, match=r"the lock .*\.lock cannot be written \(Permission denied\): give"),
        getattr(locks, kind)(tmp_path / "state/.lock", holder="nobody"),
    ):
        pass
