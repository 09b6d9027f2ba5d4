"""dvc.lock as plain values, by whatever layout of the code it was written."""

import threading
from pathlib import Path

import pytest

from brats_ml import dvc_lock
from brats_ml.errors import TableError
from brats_ml.files import digest_value

RECORD = """
schema: '2.0'
stages:
  acquire:
    cmd: python -m brats_ml acquire
    deps:
    - {path: brats_ml/adapters/grid.py, hash: md5, md5: 055a5883edce22aa7a6ba2ddc0ac961e, size: 3502}
    outs:
    - {path: data/raw, hash: md5, md5: 8c7dd922ad47494fc02c388e12c00eac.dir, size: 9, nfiles: 2}
    - {path: data/tables, hash: md5, md5: d41d8cd98f00b204e9800998ecf8427e.dir, size: 0, nfiles: 0}
  train@seed_mini:
    cmd: python -m brats_ml train --recipe seed_mini
    params: {params.yaml: {train.seed: 0}}
"""


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dvc_lock, "WRITING_S", 0.2)


def test_a_record_has_the_digest_of_each_out_by_its_path(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(RECORD)

    assert dvc_lock.stages(tmp_path)["acquire"].outs == {
        "data/raw": "8c7dd922ad47494fc02c388e12c00eac.dir",
        "data/tables": "d41d8cd98f00b204e9800998ecf8427e.dir",
    }


def test_records_of_stages_that_exist_no_longer_are_read_like_others(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(RECORD)

    assert dvc_lock.stages(tmp_path)["train@seed_mini"].outs == {}


def test_the_digest_of_a_record_counts_its_content_and_not_its_order(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\nstages: {a: {cmd: x, outs: []}, b: {cmd: y}}\n")
    first, digest = dvc_lock.stages(tmp_path)["a"].digest, dvc_lock.digest(tmp_path)

    (tmp_path / "dvc.lock").write_text("stages: {b: {cmd: y}, a: {outs: [], cmd: x}}\nschema: '2.0'\n")

    assert dvc_lock.stages(tmp_path)["a"].digest == first == digest_value({"cmd": "x", "outs": []})
    assert dvc_lock.digest(tmp_path) == digest


def test_a_folder_without_a_dvc_lock_records_nothing(tmp_path: Path) -> None:
    assert dvc_lock.stages(tmp_path) == {}
    assert dvc_lock.digest(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\xff\xfe\x00",
        b"schema: '2.0'\nstages: [a]\n",
        b"schema: '2.0'\nstages: {a: {outs: {b: c}}}\n",
        b"schema: '2.0'\n<<<<<<< HEAD\nstages: {}\n",
    ],
)
def test_a_damaged_record_is_refused_with_the_way_out(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_bytes(content)

    with pytest.raises(TableError, match=r"dvc\.lock: is damaged; restore it, or remove it and run `dvc repro`"):
        dvc_lock.stages(tmp_path)


def test_a_record_that_dvc_is_just_writing_is_read_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dvc_lock, "WRITING_S", 30)
    path = tmp_path / "dvc.lock"
    path.write_text(RECORD[:200])
    threading.Timer(0.5, path.write_text, [RECORD]).start()

    assert set(dvc_lock.stages(tmp_path)) == {"acquire", "train@seed_mini"}
