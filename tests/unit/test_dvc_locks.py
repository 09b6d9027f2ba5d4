"""DVC's own record of locks after a kill."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from brats_ml.orchestration.runs.dvc_locks import repair

PYTHON = sys.executable


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Where DVC keeps the record of a repository in `tmp_path`."""
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    return tmp_path / ".dvc/tmp/rwlock"


@pytest.mark.parametrize("left", ["", '{"write": {"a": {"pi'])
def test_a_record_that_was_cut_off_is_removed(record: Path, tmp_path: Path, left: str) -> None:
    record.write_text(left)

    (done,) = repair(tmp_path)

    assert not record.exists()
    assert str(record) in done


def test_an_entry_whose_process_is_no_dvc_is_removed_and_that_of_a_living_dvc_stays(
    record: Path, tmp_path: Path
) -> None:
    sleep = "import time; time.sleep(60)"
    with (
        subprocess.Popen([PYTHON, "-c", sleep]) as other,
        subprocess.Popen([PYTHON, "-c", sleep, "dvc", "repro"]) as dvc,
    ):
        while not psutil.Process(dvc.pid).cmdline():  # the kernel fills it a moment after the start
            time.sleep(0.01)
        entries = {name: {"pid": process.pid, "cmd": "dvc repro"} for name, process in (("a", other), ("b", dvc))}
        record.write_text(json.dumps({"write": entries, "read": {"c": list(entries.values())}}))
        repair(tmp_path)
        kept = json.loads(record.read_text())
        untouched = repair(tmp_path)
        other.kill()
        dvc.kill()

    assert kept == {"write": {"b": entries["b"]}, "read": {"c": [entries["b"]]}}
    assert untouched == []


def test_a_repository_without_a_record_needs_nothing(tmp_path: Path) -> None:
    assert repair(tmp_path) == []
