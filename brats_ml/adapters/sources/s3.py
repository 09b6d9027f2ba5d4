"""An S3 bucket, or a prefix of one, as a source; downloads are parallel, resumable and checked."""

import threading
import time
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from brats_ml import environment
from brats_ml.adapters.dicom.search import one_of_each_folder
from brats_ml.adapters.sources.base import CHUNK_BYTES, Contents, Entry, changed, check_path, checked
from brats_ml.adapters.sources.downloads import Downloads, in_parallel, unfinished
from brats_ml.adapters.sources.s3_checks import fits
from brats_ml.adapters.sources.s3_errors import needs_boto3, translate_errors
from brats_ml.cohort.dicom import START_BYTES, is_dicom_name, may_be_dicom
from brats_ml.cohort.release_files import is_release_file
from brats_ml.cohort.source_address import S3Address
from brats_ml.errors import ServiceError, SourceError

WORKERS = 8
# Tries of one request by botocore, and interruptions of one download without progress.
TRIES = 5
# Downloads of one object before its bytes count as wrong.
DOWNLOADS = 3
# Objects with names that show nothing, of which the first bytes are read.
MOST_STARTS = 20
# A connection that transfers less than this in `timeout_s` (1 kB/s by default) counts as interrupted.
LEAST_BYTES = 1 << 16


@dataclass(frozen=True)
class S3Source:
    """All objects under a prefix; endpoint, region and credentials come from the usual AWS variables and files.

    Attributes:
        address: Bucket and prefix.
        downloads: The cache of downloaded files.
        timeout_s: Seconds in which a connection has to transfer at least `LEAST_BYTES`.
    """

    address: S3Address
    downloads: Downloads
    timeout_s: float = 60.0

    def contents(self) -> Contents:
        """Return the volumes and tables with size and ETag."""
        entries: list[Entry] = []
        dicom: list[str] = []
        doubtful: list[str] = []
        with translate_errors(self._name):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.address.bucket, Prefix=self._root
            )
            for item in (item for page in pages for item in page.get("Contents", [])):
                path = item["Key"].removeprefix(self._root)
                if path.endswith("/") or not path:
                    continue  # some tools write such an object to show a folder
                if is_release_file(path) or ".." in path.split("/"):
                    check_path(path, self._name)
                    entries.append(Entry(path, item["Size"], item["ETag"].strip('"')))
                elif is_dicom_name(path):
                    dicom.append(path)
                elif may_be_dicom(path) and len(doubtful) < MOST_STARTS:
                    doubtful.append(path)
            # Each start is a request, so they are for those who find nothing else and would wonder why.
            looked_at = dicom or (doubtful if not entries else [])
            found = one_of_each_folder(looked_at, self._start if not dicom else lambda _: b"")
        return Contents(checked(entries, self._name), dicom=found)

    def fetch(self, wanted: Mapping[Entry, Path], revision: str | None) -> Generator[Entry, None, None]:
        """Download the entries that are not in the cache yet."""
        if self.downloads.missing(self._kept_as, wanted):
            with translate_errors(self._name):
                _ = self._client  # made before the threads start, since making it is not thread-safe
        yield from in_parallel(wanted, self._download, workers=WORKERS)

    def _start(self, path: str) -> bytes:
        """Return the first bytes of an object."""
        place = {"Bucket": self.address.bucket, "Key": f"{self._root}{path}"}
        start: bytes = self._client.get_object(**place, Range=f"bytes=0-{START_BYTES - 1}")["Body"].read(START_BYTES)
        return start

    @property
    def _name(self) -> str:
        return f"s3://{self.address.bucket}/{self.address.prefix}".rstrip("/")

    @property
    def _root(self) -> str:
        return f"{self.address.prefix}/" if self.address.prefix else ""

    @property
    def _kept_as(self) -> str:
        endpoint = environment.AWS_ENDPOINT_URL_S3.read() or environment.AWS_ENDPOINT_URL.read() or ""
        return f"{endpoint} {self._name}"

    @cached_property
    def _client(self) -> Any:
        try:
            import boto3  # an extra
            from botocore.config import Config
        except ImportError as error:
            raise needs_boto3(self._name) from error
        config = Config(
            retries={"mode": "standard", "total_max_attempts": TRIES},
            connect_timeout=min(10.0, self.timeout_s),
            read_timeout=self.timeout_s,
            max_pool_connections=WORKERS,
            response_checksum_validation="when_required",  # `fits` compares more, even after a resumed download
        )
        return boto3.session.Session().client("s3", config=config)

    def _download(self, entry: Entry, stop: threading.Event) -> Path:
        place = self.downloads.place(self._kept_as, entry)
        with unfinished(place, entry) as part, translate_errors(f"{self._name}/{entry.path}"):
            if part is not None:
                for _ in range(DOWNLOADS):
                    self._complete(entry, part, stop)
                    if fits(part, entry.fingerprint, client=self._client, place=self._object(entry)):
                        break
                    part.write_bytes(b"")
                else:
                    raise SourceError(
                        f"{self._name}/{entry.path}",
                        f"arrived {DOWNLOADS} times with bytes that do not fit its checksum; upload it again, "
                        "or check the network and proxies",
                    )
        return place

    def _object(self, entry: Entry) -> dict[str, str]:
        return {"Bucket": self.address.bucket, "Key": f"{self._root}{entry.path}"}

    def _complete(self, entry: Entry, part: Path, stop: threading.Event) -> None:
        """Append the missing bytes of an entry to `part`; interruptions are allowed as long as there is progress."""
        size, breaks = entry.bytes or 0, 0
        if part.stat().st_size > size:
            part.write_bytes(b"")
        while (have := part.stat().st_size) < size:
            try:
                self._append(entry, part, have, stop)
            except _BrokenConnectionError as error:
                breaks = 1 if part.stat().st_size - have >= LEAST_BYTES else breaks + 1
                if breaks >= TRIES:
                    raise ServiceError(
                        f"the download of {self._name}/{entry.path} was interrupted {breaks} times in a row ({error}); "
                        "rerunning resumes the download"
                    ) from error
                stop.wait(0.2 * 2**breaks)

    def _append(self, entry: Entry, part: Path, have: int, stop: threading.Event) -> None:
        asked = {"Range": f"bytes={have}-"} if have else {}
        answer = self._client.get_object(**self._object(entry), IfMatch=f'"{entry.fingerprint}"', **asked)
        if have and "ContentRange" not in answer:  # a server without ranges sends the whole object
            part.write_bytes(b"")
            have = 0
        if have + answer["ContentLength"] != entry.bytes:
            raise changed(f"{self._name}/{entry.path}")
        with part.open("ab") as file:
            for chunk in _body(answer["Body"], self.timeout_s):
                if stop.is_set():
                    raise CancelledError
                try:
                    file.write(chunk)
                    file.flush()
                except OSError as error:
                    error.filename = str(part)
                    raise
        if part.stat().st_size < (entry.bytes or 0):
            raise _BrokenConnectionError("the server closed the connection")


class _BrokenConnectionError(Exception):
    """A download ended before all bytes came."""


def _body(body: Any, window_s: float) -> Iterator[bytes]:
    from urllib3.exceptions import HTTPError  # an extra

    begun, had = time.monotonic(), 0
    try:
        with body:
            # botocore's own `read` waits for all requested bytes, which would hide a slow connection.
            while chunk := body._raw_stream.read1(CHUNK_BYTES):
                yield chunk
                had += len(chunk)
                if time.monotonic() - begun > window_s:
                    if had < LEAST_BYTES:
                        raise _BrokenConnectionError(f"{had} bytes in {window_s:g} s")
                    begun, had = time.monotonic(), 0
    except (HTTPError, ConnectionError, TimeoutError) as error:
        raise _BrokenConnectionError(str(error)) from error
