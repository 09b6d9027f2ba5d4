"""The S3 server loses and tears nothing that it has confirmed, and its conditional puts have one winner."""

import hashlib
import io
import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.cluster import control, s3
from tests.cluster.services import GROUPS
from tests.cluster.settings import Cluster

pytestmark = pytest.mark.timeout(1200)
KILLS = 12
WRITERS = 3
# One part, several parts, and many small objects as in DVC's cache.
SIZES = (1_000, 100_000, 12 * 2**20)
PARTS = TransferConfig(multipart_threshold=5 * 2**20, multipart_chunksize=5 * 2**20, use_threads=False)
# The bucket of DVC; the objects of these tests are under names of their own.
BUCKET = "dvc"


def client(cluster: Cluster) -> object:
    # The test itself decides what is sent again.
    return s3.client(cluster, BUCKET, config=Config(retries={"max_attempts": 1}, read_timeout=20))


@pytest.fixture(scope="module")
def confirmed(cluster: Cluster) -> Iterator[set[str]]:
    """Write objects, each under the digest of its content, while the server is killed; return the confirmed names."""
    confirmed: set[str] = set()
    over = threading.Event()

    def write(number: int) -> None:
        generator, bucket = random.Random(number), client(cluster)  # noqa: S311 - not for a secret
        while not over.is_set():
            content = os.urandom(generator.choice(SIZES))
            name = f"killed/{hashlib.sha256(content).hexdigest()}"
            try:
                bucket.upload_fileobj(io.BytesIO(content), BUCKET, name, Config=PARTS)  # type: ignore[attr-defined]
            except Exception:  # whatever an upload fails with while the server is down, the object is not confirmed
                time.sleep(0.1)
            else:
                confirmed.add(name)

    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, number) for number in range(WRITERS)]
        try:
            for _ in range(KILLS):
                before = len(confirmed)
                while len(confirmed) < before + 3:
                    time.sleep(0.1)
                time.sleep(random.random())  # noqa: S311 - not for a secret
                control.kill(cluster, "s3")
                control.wait(cluster, GROUPS["s3"])
        finally:
            over.set()
        for writer in writers:
            writer.result()
    yield confirmed
    bucket = client(cluster)
    for name in names(bucket):
        bucket.delete_object(Bucket=BUCKET, Key=name)  # type: ignore[attr-defined]


def names(bucket: object) -> list[str]:
    pages = bucket.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix="killed/")  # type: ignore[attr-defined]
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


def test_no_confirmed_object_is_lost_and_none_is_torn(cluster: Cluster, confirmed: set[str]) -> None:
    bucket = client(cluster)
    found = names(bucket)
    torn = []
    for name in found:
        content = bucket.get_object(Bucket=BUCKET, Key=name)["Body"].read()  # type: ignore[attr-defined]
        if not name.endswith(hashlib.sha256(content).hexdigest()):
            torn.append(name)

    assert confirmed - set(found) == set()
    assert torn == []
    assert len(confirmed) >= 3 * KILLS


def test_one_of_many_conditional_puts_wins(cluster: Cluster) -> None:
    bucket = client(cluster)

    def put(condition: dict[str, str]) -> str:
        try:
            bucket.put_object(Bucket=BUCKET, Key="conditional", Body=b"x", **condition)  # type: ignore[attr-defined]
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "written"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(put, [{"IfNoneMatch": "*"}] * 8))
    stale = put({"IfMatch": '"0123456789abcdef0123456789abcdef"'})
    bucket.delete_object(Bucket=BUCKET, Key="conditional")  # type: ignore[attr-defined]

    assert answers.count("written") == 1, answers
    assert stale == "PreconditionFailed"


def test_the_owner_of_one_bucket_may_not_use_the_other(cluster: Cluster) -> None:
    for bucket, other in (("dvc", "mlflow"), ("mlflow", "dvc")):
        with pytest.raises((ClientError, BotoCoreError), match="AccessDenied"):
            s3.client(cluster, bucket).list_objects_v2(Bucket=other)
