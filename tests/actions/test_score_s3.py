"""Cases under an address of S3, on a real server on loopback."""

import errno
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pandas as pd
import pytest

from brats_ml.actions import score, unscored
from brats_ml.actions.trace import trace
from brats_ml.adapters.sources.downloads import UNFINISHED
from brats_ml.cli import checks
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.errors import ConfigError, EmptyCohortError, ServiceError, SourceError, StorageError
from brats_ml.orchestration.runs import outcomes, retention
from brats_ml.workspace import Workspace
from tests.actions.disk import watching
from tests.s3_server import FaultyProxy, faulty_proxy, free_port

FIRST, SECOND = "BraTS20_Validation_501", "BraTS20_Validation_502"
numbers = itertools.count()


@pytest.fixture
def s3(aws: str) -> Any:
    return boto3.client("s3")


@pytest.fixture
def bucket(s3: Any, ws: Workspace, crown: Callable[[str, int], None]) -> str:
    """A bucket with the two cases of the inbox; there is a champion."""
    name = f"ward-{next(numbers)}"
    s3.create_bucket(Bucket=name)
    for path in ws.inbox.path.rglob("*"):
        if path.is_file():
            s3.upload_file(str(path), name, f"new/{path.relative_to(ws.inbox.path)}")
    crown("segmentation", 1)
    return name


@pytest.fixture
def proxy(aws: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    with faulty_proxy(aws) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.address)
        yield found


def test_cases_are_downloaded_once_and_only_what_changed_is_scored_again(
    ws: Workspace, quick_params: Params, s3: Any, bucket: str, proxy: FaultyProxy
) -> None:
    address = f"s3://{bucket}/new"

    assert "2 scored, 0 kept" in str(score.run(ws, quick_params, cases=address))
    assert len(proxy.gets) == sum(path.is_file() for path in ws.inbox.path.rglob("*"))
    assert not unscored.run(ws, quick_params, cases=address).details["shards"]
    proxy.gets.clear()
    assert "0 scored, 2 kept" in str(score.run(ws, quick_params, cases=address))
    assert proxy.gets == []

    other = (ws.inbox.path / SECOND / volume_name(SECOND, "t2")).read_bytes()
    changed = bytes([*other[:4], other[4] ^ 1, *other[5:]])  # the time in the header of gzip
    s3.put_object(Bucket=bucket, Key=f"new/{SECOND}/{volume_name(SECOND, 't2')}", Body=changed)
    assert unscored.run(ws, quick_params, cases=address).details["shards"] == [[SECOND]]
    assert "1 scored, 1 kept" in str(score.run(ws, quick_params, cases=address))
    assert len(proxy.gets) == 1

    for item in s3.list_objects_v2(Bucket=bucket, Prefix=f"new/{FIRST}/")["Contents"]:
        s3.delete_object(Bucket=bucket, Key=item["Key"])
    assert "0 scored, 1 kept" in str(score.run(ws, quick_params, cases=address))
    # The prediction of a case that is gone stays.
    assert set(pd.read_csv(ws.predictions().table)["case_id"]) == {FIRST, SECOND}


@pytest.mark.slow
def test_a_shard_is_scored_from_what_the_first_task_has_downloaded(
    ws: Workspace, quick_params: Params, bucket: str, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"s3://{bucket}/new"
    unscored.run(ws, quick_params, cases=address, divided=True)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")

    assert "2 scored" in str(score.run(ws, quick_params, cases=address, shard=0))


@pytest.mark.slow
def test_a_prediction_is_traced_to_the_objects_that_it_was_made_from(
    ws: Workspace, quick_params: Params, bucket: str
) -> None:
    score.run(ws, quick_params, cases=f"s3://{bucket}/new", only=[FIRST])

    inputs = [part for part in trace(ws, quick_params, FIRST, cases=None, output=None).parts if "input" in part.what]

    assert [part.state for part in inputs] == ["unchanged"] * 4


def test_one_object_that_cannot_be_downloaded_stops_its_case_alone(
    ws: Workspace, quick_params: Params, bucket: str, proxy: FaultyProxy
) -> None:
    proxy.only = volume_name(FIRST, "t2")
    proxy.faults.extend(["wrong"] * 40)

    with pytest.raises(StorageError, match=rf"{proxy.only}: arrived 3 times with bytes that do not fit"):
        score.run(ws, quick_params, cases=f"s3://{bucket}/new")

    table = pd.read_csv(ws.predictions().table)
    assert dict(zip(table["case_id"], table["status"], strict=True)) == {SECOND: "scored"}
    proxy.faults.clear()
    assert "kept" in str(score.run(ws, quick_params, cases=f"s3://{bucket}/new"))
    assert len(pd.read_csv(ws.predictions().table)) == 2


@pytest.mark.parametrize(
    ("prefix", "variables", "error", "sentence"),
    [
        ("s3://no-such-bucket/new", {}, SourceError, "there is no such bucket"),
        ("{}", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, ServiceError, "S3 does not answer"),
        ("{}", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, SourceError, "no usable credentials"),
        ("{}-empty", {}, EmptyCohortError, "s3://ward-.*-empty holds no case"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_sentence_and_nothing_is_written(
    prefix: str,
    variables: dict[str, str],
    error: type[Exception],
    sentence: str,
    ws: Workspace,
    quick_params: Params,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
        if not value:
            monkeypatch.delenv(name)

    with pytest.raises(error, match=sentence):
        score.run(ws, quick_params, cases=prefix.format(f"s3://{bucket}/new"))

    assert not ws.predictions().path.exists()


def test_refused_credentials_are_named_while_listing_and_while_downloading(
    ws: Workspace, quick_params: Params, bucket: str, proxy: FaultyProxy
) -> None:
    proxy.faults.extend(["AccessDenied"] * 40)

    with pytest.raises(SourceError, match=r"access is denied to these credentials"):
        score.run(ws, quick_params, cases=f"s3://{bucket}/new")

    assert not ws.predictions().path.exists()


@pytest.mark.parametrize("name", ["study/1.dcm", "study/IM-0001"])
def test_a_prefix_of_dicom_alone_is_one_sentence_that_says_so(
    name: str, ws: Workspace, quick_params: Params, s3: Any, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key=f"dicom/{name}", Body=bytes(128) + b"DICM" + bytes(99))

    with pytest.raises(
        EmptyCohortError, match=rf"s3://{bucket}/dicom holds DICOM, such as {name}, and no NIfTI volume"
    ):
        score.run(ws, quick_params, cases=f"s3://{bucket}/dicom")

    assert not ws.predictions().path.exists()


def test_an_object_that_changes_while_it_is_downloaded_is_named_with_what_to_do(
    ws: Workspace, quick_params: Params, bucket: str, proxy: FaultyProxy
) -> None:
    proxy.only = volume_name(SECOND, "t1")
    proxy.faults.extend(["PreconditionFailed"] * 4)

    with pytest.raises(StorageError, match=rf"{proxy.only}: changed or vanished while .*; run the same command again"):
        score.run(ws, quick_params, cases=f"s3://{bucket}/new")

    assert list(pd.read_csv(ws.predictions().table)["case_id"]) == [FIRST]


def test_a_disk_that_fills_while_cases_are_downloaded_leaves_nothing_half_written(
    ws: Workspace, quick_params: Params, bucket: str
) -> None:
    address, tried = f"s3://{bucket}/new", []

    def fill(number: int, path: Path) -> int | None:
        tried.append(path) if path.suffix == UNFINISHED else None
        return errno.ENOSPC if path.suffix == UNFINISHED and len(tried) > 3 else None

    with watching(ws.state.downloads, fails=fill), pytest.raises(OSError, match="No space left on device") as caught:
        score.run(ws, quick_params, cases=address)

    assert "no space is left on the disk" in outcomes.failure(caught.value).sentence
    assert not ws.predictions().path.exists()
    for copy in ws.root.glob(".brats/unseen/*/cases/*/*"):
        assert copy.read_bytes() == (ws.inbox.path / copy.parent.name / copy.name).read_bytes()
    assert "2 scored" in str(score.run(ws, quick_params, cases=address))


@pytest.mark.parametrize("address", ["s3://", "s3://x/../y", "s3://key:secret@bucket/new"])
def test_an_address_of_another_form_is_refused_before_anything_is_read(
    address: str, ws: Workspace, quick_params: Params
) -> None:
    with pytest.raises(ConfigError, match="--cases: ") as raised:
        checks.pending(ws, quick_params, cases=address, output=None)

    assert "secret" not in str(raised.value)


@pytest.mark.slow
def test_prune_removes_a_copy_that_was_not_used_for_long_and_nothing_is_lost(
    ws: Workspace, quick_params: Params, bucket: str
) -> None:
    address = f"s3://{bucket}/new"
    score.run(ws, quick_params, cases=address)
    (copy,) = ws.state.unseen_copies()

    assert retention._remove_copies(ws.state, 1.0, dry=False) == []
    assert retention._remove_copies(ws.state, -1.0, dry=False)

    assert not copy.path.exists()
    assert "kept" in str(score.run(ws, quick_params, cases=address))


@pytest.mark.slow
def test_a_copy_that_a_kill_left_incomplete_is_completed(
    ws: Workspace, quick_params: Params, bucket: str, proxy: FaultyProxy
) -> None:
    address = f"s3://{bucket}/new"
    score.run(ws, quick_params, cases=address)
    (copy,) = ws.state.unseen_copies()
    torn = copy.cases / FIRST / volume_name(FIRST, "t1")
    torn.unlink()
    torn.write_bytes(b"half")
    copy.listing.path.unlink()
    shutil.rmtree(copy.cases / SECOND)
    proxy.gets.clear()

    score.run(ws, quick_params, cases=address)

    assert torn.read_bytes() == (ws.inbox.path / FIRST / torn.name).read_bytes()
    assert proxy.gets == []
