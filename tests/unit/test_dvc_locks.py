"""DVC's own record of locks after a kill."""

import json
from pathlib import Path
from typing import Any

import pytest

from brats_ml.orchestration.runs.dvc_locks import repair

TASK = "/env/dvc/__main__.py --wait-for-lock repro --single-item --pull {}"


@pytest.fixture
def record(tmp_path: Path) -> Path:
    """Where DVC keeps the record of a repository in `tmp_path`."""
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    return tmp_path / ".dvc/tmp/rwlock"


def nobody(stage: str) -> bool:
    return False


@pytest.mark.parametrize("left", ["", '{"write": {"a": {"pi', "[]", '{"write": {"a": 1}}', "\0\0\0"])
def test_a_record_that_was_cut_off_is_removed(record: Path, tmp_path: Path, left: str) -> None:
    record.write_text(left)

    (done,) = repair(tmp_path, is_alive=nobody)

    assert not record.exists()
    assert str(record) in done


def fill(record: Path, *commands: str) -> list[dict[str, Any]]:
    """Write a record in which each command writes a path and all read another; return its entries.

    All have the id of the first process of a system: every host has one.
    """
    entries = [{"pid": 1, "cmd": command} for command in commands]
    written = {str(number): entry for number, entry in enumerate(entries)}
    record.write_text(json.dumps({"write": written, "read": {"read": entries}}))
    return entries


@pytest.mark.parametrize("options", ["", "--pull "])
def test_entries_of_a_stage_that_nobody_works_on_are_removed_whatever_process_has_their_id(
    record: Path, tmp_path: Path, options: str
) -> None:
    _, alive = fill(record, *(TASK.replace("--pull ", options).format(stage) for stage in ("train@a", "train@b")))

    (done,) = repair(tmp_path, is_alive=lambda stage: stage == "train@b")

    assert done == f"removed entries of ended processes from {record}"
    assert json.loads(record.read_text()) == {"write": {"1": alive}, "read": {"read": [alive]}}
    assert repair(tmp_path, is_alive=lambda stage: stage == "train@b") == []


def test_an_entry_that_no_task_wrote_stays_and_is_named(record: Path, tmp_path: Path) -> None:
    """Nobody knows on which host a person has typed the command."""
    fill(record, "/usr/bin/dvc repro", "/usr/bin/dvc repro --single-item")
    before = record.read_bytes()

    (said,) = repair(tmp_path, is_alive=nobody)

    assert record.read_bytes() == before
    assert "may run on another host" in said
    assert str(record) in said


def test_a_repository_without_a_record_needs_nothing(tmp_path: Path) -> None:
    assert repair(tmp_path, is_alive=nobody) == []
