"""DVC's own record of locks after a kill."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from brats_ml.orchestration.runs.dvc_locks import SPACES, repair

PYTHON = sys.executable


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Where DVC keeps the record of a repository in `tmp_path`."""
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    return tmp_path / ".dvc/tmp/rwlock"


@pytest.mark.parametrize("left", ["", '{"write": {"a": {"pi', "[]", '{"write": {"a": 1}}', "\0\0\0"])
def test_a_record_that_was_cut_off_is_removed(record: Path, tmp_path: Path, left: str) -> None:
    record.write_text(left)

    (done,) = repair(tmp_path)

    assert not record.exists()
    assert str(record) in done


@pytest.fixture
def processes() -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """A living process, one that looks like DVC, and one that has ended."""
    sleep = "import time; time.sleep(60)"
    with (
        subprocess.Popen([PYTHON, "-c", sleep]) as other,
        subprocess.Popen([PYTHON, "-c", sleep, "dvc", "repro"]) as dvc,
        subprocess.Popen(["true"]) as ended,
    ):
        ended.wait()
        while not psutil.Process(dvc.pid).cmdline():  # the kernel fills it a moment after the start
            time.sleep(0.01)
        yield {"other": other, "dvc": dvc, "ended": ended}
        other.kill()
        dvc.kill()


def fill(record: Path, processes: dict[str, subprocess.Popen[bytes]]) -> dict[str, Any]:
    """Write a record in which each process writes one path and all of them read another; return its entries."""
    entries = {name: {"pid": process.pid, "cmd": "dvc repro"} for name, process in processes.items()}
    record.write_text(json.dumps({"write": entries, "read": {"c": list(entries.values())}}))
    return entries


def test_an_entry_whose_process_is_no_dvc_is_removed_and_that_of_a_living_dvc_stays(
    record: Path, tmp_path: Path, processes: dict[str, subprocess.Popen[bytes]]
) -> None:
    assert repair(tmp_path) == []
    entries = fill(record, processes)

    (done,) = repair(tmp_path)

    assert done == f"removed entries of ended processes from {record}"
    assert json.loads(record.read_text()) == {"write": {"dvc": entries["dvc"]}, "read": {"c": [entries["dvc"]]}}
    assert repair(tmp_path) == []


def test_no_entry_is_removed_where_another_host_runs_dvc_too(
    record: Path, tmp_path: Path, processes: dict[str, subprocess.Popen[bytes]]
) -> None:
    repair(tmp_path)
    (record.parent / SPACES / "another").touch()
    fill(record, processes)
    before = record.read_bytes()

    (said,) = repair(tmp_path)

    assert record.read_bytes() == before
    assert "may run on another host" in said
    assert str(record) in said


def test_no_entry_from_before_the_first_repair_is_removed(
    record: Path, tmp_path: Path, processes: dict[str, subprocess.Popen[bytes]]
) -> None:
    """Whoever wrote it, nobody knows on which host."""
    fill(record, processes)
    before = record.read_bytes()

    assert all("may run on another host" in said for _ in range(2) for said in repair(tmp_path))
    assert record.read_bytes() == before


def test_a_repository_without_a_record_needs_nothing(tmp_path: Path) -> None:
    assert repair(tmp_path) == []
