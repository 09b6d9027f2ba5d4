"""S3 as a source, on a real server on loopback, with faults injected between."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

from brats_ml.adapters.sources.downloads import UNFINISHED, Downloads
from brats_ml.adapters.sources.s3 import S3Source
from brats_ml.adapters.sources.s3_checks import composite_etag
from brats_ml.cohort.source_address import S3Address
from brats_ml.errors import ServiceError, SourceError
from tests.s3_server import FaultyProxy, faulty_proxy, free_port

ROOT = Path(__file__).parents[2]
CONTENT = bytes(range(256)) * 12_000
numbers = itertools.count()


@pytest.fixture
def s3(aws: str) -> Any:
    return boto3.client("s3")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"cohort-{next(numbers)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def proxy(aws: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    with faulty_proxy(aws) as found:
        monkeypatch.setenv("AWS_ENDPOINT_URL", found.address)
        yield found


@pytest.fixture
def downloads(tmp_path: Path) -> Downloads:
    return Downloads(tmp_path / "downloads")


def source(bucket: str, downloads: Downloads, prefix: str = "BraTS", timeout_s: float = 5.0) -> S3Source:
    return S3Source(S3Address(bucket, prefix), downloads, timeout_s)


def fetched(found: S3Source, target: Path) -> dict[str, bytes]:
    entries = found.contents().entries
    target.mkdir()
    wanted = {entry: target / str(number) for number, entry in enumerate(entries)}
    assert set(found.fetch(wanted, None)) == set(entries)
    return {entry.path: path.read_bytes() for entry, path in wanted.items()}


def put(s3: Any, bucket: str, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        s3.put_object(Bucket=bucket, Key=name, Body=content)


def test_what_lies_below_the_prefix_comes_as_it_is(s3: Any, bucket: str, downloads: Downloads, tmp_path: Path) -> None:
    files = {f"HGG/case {n} ä/case_{n}_t1.nii.gz": CONTENT[n:] for n in range(12)} | {"survival_info.csv": b"a,b\n"}
    put(s3, bucket, {f"BraTS/{name}": content for name, content in files.items()})
    others = ("BraTS/HGG/", "BraTS/readme.txt", "BraTS/._a.nii", "BraTS2/a.nii", "other/a.nii", "a.nii")
    put(s3, bucket, dict.fromkeys(others, b"x"))

    assert fetched(source(bucket, downloads), tmp_path / "out") == files


def test_one_more_case_downloads_one_case_and_the_rest_is_linked(
    s3: Any, bucket: str, proxy: FaultyProxy, downloads: Downloads, tmp_path: Path
) -> None:
    put(s3, bucket, {"BraTS/a.nii": b"a", "BraTS/b.nii": b"b"})
    fetched(source(bucket, downloads), tmp_path / "first")
    put(s3, bucket, {"BraTS/c.nii": b"c"})
    proxy.gets.clear()

    found = fetched(source(bucket, downloads), tmp_path / "second")

    assert found == {"a.nii": b"a", "b.nii": b"b", "c.nii": b"c"}
    assert proxy.gets == [(f"/{bucket}/BraTS/c.nii", None)]
    assert (tmp_path / "first/0").samefile(tmp_path / "second/0")


def test_an_object_that_is_replaced_is_listed_anew_and_brought_again(
    s3: Any, bucket: str, downloads: Downloads, tmp_path: Path
) -> None:
    put(s3, bucket, {"BraTS/a.nii": b"before"})
    fetched(source(bucket, downloads), tmp_path / "first")
    put(s3, bucket, {"BraTS/a.nii": b"after!"})

    assert fetched(source(bucket, downloads), tmp_path / "second") == {"a.nii": b"after!"}
    assert (tmp_path / "first/0").read_bytes() == b"before"


@pytest.mark.parametrize("how", ["replaced", "longer", "gone"])
def test_an_object_that_changed_since_it_was_listed_is_refused(
    how: str, s3: Any, bucket: str, downloads: Downloads, tmp_path: Path
) -> None:
    put(s3, bucket, {"BraTS/a.nii": b"before"})
    found = source(bucket, downloads)
    (entry,) = found.contents().entries
    if how == "gone":
        s3.delete_object(Bucket=bucket, Key="BraTS/a.nii")
    else:
        put(s3, bucket, {"BraTS/a.nii": b"after!" if how == "replaced" else b"longer than before"})

    with pytest.raises(SourceError, match=r"BraTS/a\.nii: changed or vanished since the source was listed"):
        list(found.fetch({entry: tmp_path / "out"}, None))

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("fault", ["500", "drop", "stall", "wrong"])
def test_a_fault_that_passes_is_overcome(
    fault: Any, s3: Any, bucket: str, proxy: FaultyProxy, downloads: Downloads, tmp_path: Path
) -> None:
    put(s3, bucket, {"BraTS/a.nii": CONTENT})
    proxy.faults.extend([fault, fault])

    assert fetched(source(bucket, downloads, timeout_s=0.5), tmp_path / "out") == {"a.nii": CONTENT}

    ranges = [asked for _, asked in proxy.gets]
    assert len(ranges) == 3
    resumed = fault in ("drop", "stall")
    assert [asked is not None for asked in ranges] == [False, resumed, resumed]


@pytest.mark.parametrize(
    ("fault", "error", "sentence"),
    [
        ("500", ServiceError, r"BraTS/a\.nii: S3 refuses temporarily"),
        ("wrong", SourceError, r"BraTS/a\.nii: arrived 3 times with bytes that do not fit its checksum"),
    ],
)
def test_a_fault_that_stays_is_one_sentence_and_leaves_no_file(
    fault: Any,
    error: type[Exception],
    sentence: str,
    s3: Any,
    bucket: str,
    proxy: FaultyProxy,
    downloads: Downloads,
    tmp_path: Path,
) -> None:
    put(s3, bucket, {"BraTS/a.nii": CONTENT})
    proxy.faults.extend([fault] * 20)

    with pytest.raises(error, match=sentence):
        fetched(source(bucket, downloads), tmp_path / "out")

    assert list((tmp_path / "out").iterdir()) == []
    assert {path.suffix for path in downloads.folder.glob("*/*")} <= {UNFINISHED}


def test_a_connection_that_always_breaks_is_given_up_and_the_next_try_goes_on(
    s3: Any, bucket: str, proxy: FaultyProxy, downloads: Downloads, tmp_path: Path
) -> None:
    """The second half of a single byte is nothing, so no try makes progress."""
    put(s3, bucket, {"BraTS/a.nii": b"xy"})
    proxy.faults.extend(["drop"] * 10)

    with pytest.raises(
        ServiceError, match=r"a\.nii was interrupted 5 times in a row .* rerunning resumes the download"
    ):
        fetched(source(bucket, downloads), tmp_path / "out")
    proxy.faults.clear()
    proxy.gets.clear()

    assert fetched(source(bucket, downloads), tmp_path / "again") == {"a.nii": b"xy"}
    assert [asked for _, asked in proxy.gets] == ["bytes=1-"]


def test_a_connection_that_drips_is_given_up_although_it_is_never_silent(
    s3: Any, bucket: str, proxy: FaultyProxy, downloads: Downloads, tmp_path: Path
) -> None:
    put(s3, bucket, {"BraTS/a.nii": CONTENT})
    proxy.faults.extend(["drip"] * 10)

    with pytest.raises(ServiceError, match=r"a\.nii was interrupted 5 times in a row \(\d+ bytes in 0\.3 s\)"):
        fetched(source(bucket, downloads, timeout_s=0.3), tmp_path / "out")

    assert len(proxy.gets) == 5


def test_what_a_killed_process_had_brought_is_not_brought_again(
    s3: Any, bucket: str, proxy: FaultyProxy, downloads: Downloads, tmp_path: Path
) -> None:
    put(s3, bucket, {"BraTS/a.nii": CONTENT, "BraTS/b.nii": CONTENT[1:]})
    (entry, other) = source(bucket, downloads).contents().entries
    list(source(bucket, downloads).fetch({other: tmp_path / "b"}, None))
    proxy.faults.append("stall")
    program = (
        "import sys; from pathlib import Path; from tests.integration.test_sources_s3 import source, Downloads\n"
        f"found = source({bucket!r}, Downloads(Path(sys.argv[1])), timeout_s=30)\n"
        "list(found.fetch({found.contents().entries[0]: Path(sys.argv[2])}, None))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", program, str(downloads.folder), str(tmp_path / "killed")]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as child:
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size for path in downloads.folder.glob(f"*/*{UNFINISHED}")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.2)
        child.kill()
    proxy.over.set()
    proxy.gets.clear()

    found = source(bucket, downloads)
    list(found.fetch({entry: tmp_path / "a", other: tmp_path / "b2"}, None))

    assert (tmp_path / "a").read_bytes() == CONTENT
    assert not (tmp_path / "killed").exists()
    ((path, asked),) = proxy.gets
    assert path.endswith("a.nii")
    assert asked is not None


def test_an_object_in_parts_is_checked_by_its_composite_etag(
    s3: Any, bucket: str, proxy: FaultyProxy, downloads: Downloads, tmp_path: Path
) -> None:
    sizes = [5 << 20, 5 << 20, 123]
    content = os.urandom(sum(sizes))
    put_in_parts(s3, bucket, "BraTS/a.nii", content, sizes)
    proxy.faults.append("wrong")

    (entry,) = source(bucket, downloads).contents().entries
    assert entry.fingerprint.endswith("-3")
    assert fetched(source(bucket, downloads), tmp_path / "out") == {"a.nii": content}
    assert len(proxy.gets) == 2


def put_in_parts(s3: Any, bucket: str, key: str, content: bytes, sizes: list[int]) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    named, parts, start = {"Bucket": bucket, "Key": key, "UploadId": upload}, [], 0
    for number, size in enumerate(sizes, start=1):
        put = s3.upload_part(**named, PartNumber=number, Body=content[start : start + size])
        parts.append({"PartNumber": number, "ETag": put["ETag"]})
        start += size
    s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})


def test_the_composite_etag_is_the_md5_of_the_md5s_of_the_parts(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"aaab")

    # By md5sum: of `aaa`, of `b`, and of both digests in a row.
    assert composite_etag(tmp_path / "x", [3, 1]) == "69b2d68a7b94b5d43547bb9e1be31a73-2"


def test_an_object_whose_etag_is_no_md5_is_checked_by_s3s_own_checksum(
    s3: Any, bucket: str, proxy: FaultyProxy, downloads: Downloads, tmp_path: Path
) -> None:
    s3.put_object(
        Bucket=bucket, Key="BraTS/a.nii", Body=CONTENT, ServerSideEncryption="aws:kms", ChecksumAlgorithm="SHA256"
    )
    proxy.faults.append("wrong")

    assert fetched(source(bucket, downloads), tmp_path / "out") == {"a.nii": CONTENT}
    assert len(proxy.gets) == 2


def test_a_key_that_would_leave_its_folder_is_refused(s3: Any, bucket: str, downloads: Downloads) -> None:
    put(s3, bucket, {"BraTS/a/../../b.nii": b"x"})

    with pytest.raises(SourceError, match=r"holds 'a/\.\./\.\./b\.nii', a name that leaves its folder"):
        source(bucket, downloads).contents()


def test_a_missing_bucket_is_named(aws: str, downloads: Downloads) -> None:
    with pytest.raises(SourceError, match=r"s3://nowhere-at-all/BraTS: there is no such bucket"):
        source("nowhere-at-all", downloads).contents()


def test_missing_credentials_are_named(bucket: str, downloads: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")

    with pytest.raises(SourceError, match=r"no usable credentials .* set AWS_ACCESS_KEY_ID"):
        source(bucket, downloads).contents()


def test_without_boto3_the_extra_is_named(downloads: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)

    with pytest.raises(SourceError, match=r"s3://bucket/BraTS: needs boto3: install brats-ml\[s3\]"):
        source("bucket", downloads).contents()


@pytest.mark.parametrize("address", ["nonsense", "http://"])
def test_an_endpoint_that_is_no_address_is_not_tried_again(
    address: str, bucket: str, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)

    with pytest.raises(SourceError, match="the request to S3 failed"):
        source(bucket, downloads).contents()


def test_an_endpoint_that_does_not_answer_may_be_tried_again(
    bucket: str, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")

    with pytest.raises(ServiceError, match="S3 does not answer") as caught:
        source(bucket, downloads).contents()

    assert caught.value.transient


def test_a_password_in_an_endpoint_is_not_repeated(
    bucket: str, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:SECRET@127.0.0.1:{free_port()}")

    with pytest.raises((ServiceError, SourceError)) as caught:
        source(bucket, downloads).contents()

    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("AccessDenied", "access is denied to these credentials; they need s3:ListBucket and s3:GetObject"),
        ("InvalidAccessKeyId", r"S3 does not accept the credentials \(InvalidAccessKeyId\); renew or correct them"),
        ("KMS.DisabledException", r"S3 refuses \(KMS\.DisabledException"),
    ],
)
def test_a_refusal_is_named_and_not_tried_again(
    code: str, sentence: str, s3: Any, proxy: FaultyProxy, bucket: str, downloads: Downloads, tmp_path: Path
) -> None:
    put(s3, bucket, {"BraTS/a.nii": b"a"})
    proxy.faults.append(code)

    with pytest.raises(SourceError, match=sentence) as caught:
        fetched(source(bucket, downloads), tmp_path / "out")

    assert not caught.value.transient
    assert len(proxy.gets) == 1


def test_two_at_once_bring_an_object_once(
    s3: Any, bucket: str, proxy: FaultyProxy, downloads: Downloads, tmp_path: Path
) -> None:
    put(s3, bucket, {"BraTS/a.nii": CONTENT})

    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda name: fetched(source(bucket, downloads), tmp_path / name), ["one", "two"]))

    assert both == [{"a.nii": CONTENT}] * 2
    assert len(proxy.gets) == 1


def test_the_remote_of_a_dvc_project_may_be_s3(aws: str, bucket: str, tmp_path: Path) -> None:
    """As the README says it, push and pull."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        dvc(tmp_path / name, "init", "-q", "--no-scm")
        dvc(tmp_path / name, "remote", "add", "-q", "--default", "s3", f"s3://{bucket}/dvc")
        dvc(tmp_path / name, "remote", "modify", "-q", "s3", "endpointurl", aws)
    (tmp_path / "first/raw").mkdir()
    (tmp_path / "first/raw/a.nii").write_bytes(CONTENT)
    dvc(tmp_path / "first", "add", "-q", "raw")
    dvc(tmp_path / "first", "push", "-v")
    (tmp_path / "second/raw.dvc").write_bytes((tmp_path / "first/raw.dvc").read_bytes())
    dvc(tmp_path / "second", "pull", "-q")

    assert (tmp_path / "second/raw/a.nii").read_bytes() == CONTENT


def dvc(folder: Path, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, check=False, capture_output=True)
    assert not done.returncode, done.stderr.decode()
