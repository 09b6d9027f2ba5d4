"""An S3 bucket, or a prefix of one, as a source: parallel, resumed where it broke off, and checked byte by byte."""

import os
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from brats_ml.adapters.sources.base import CHUNK_BYTES, Contents, Entry, changed, check_path, checked
from brats_ml.adapters.sources.downloads import Downloads, in_parallel, unfinished
from brats_ml.adapters.sources.s3_checks import fits
from brats_ml.adapters.sources.s3_errors import needs_boto3, translate_errors
from brats_ml.cohort.release_files import is_release_file
from brats_ml.cohort.source_address import S3Address
from brats_ml.errors import ServiceError, SourceError

WORKERS = 8
# Tries of one request by botocore, and breaks of one body without a byte of progress.
TRIES = 5
# How often a whole object is brought before its bytes are called wrong.
DOWNLOADS = 3
# What a connection has to bring while it might have been silent (1 kB/s by default), or it counts as broken off.
LEAST_BYTES = 1 << 16


@dataclass(frozen=True)
class S3Source:
    """All objects below a prefix; endpoint, region and credentials are those of the usual AWS variables and files.

    Attributes:
        address: Bucket and prefix.
        downloads: Where what was brought is kept.
        timeout_s: How long a connection may stay silent, or bring less than `LEAST_BYTES`.
    """

    address: S3Address
    downloads: Downloads
    timeout_s: float = 60.0

    def contents(self) -> Contents:
        """Return the volumes and tables by size and ETag."""
        entries = []
        with translate_errors(self._name):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.address.bucket, Prefix=self._root
            )
            for item in (item for page in pages for item in page.get("Contents", [])):
                path = item["Key"].removeprefix(self._root)
                if path.endswith("/") or not path:
                    continue  # what some tools write to show a folder
                if is_release_file(path) or ".." in path.split("/"):
                    check_path(path, self._name)
                    entries.append(Entry(path, item["Size"], item["ETag"].strip('"')))
        return Contents(checked(entries, self._name))

    def fetch(self, wanted: Mapping[Entry, Path], revision: str | None) -> Generator[Entry, None, None]:
        """Bring the entries that are not among the downloads yet."""
        if self.downloads.missing(self._kept_as, wanted):
            with translate_errors(self._name):
                _ = self._client  # made before there are threads, since making it is not safe among them
        yield from in_parallel(wanted, self._bring, workers=WORKERS)

    @property
    def _name(self) -> str:
        return f"s3://{self.address.bucket}/{self.address.prefix}".rstrip("/")

    @property
    def _root(self) -> str:
        return f"{self.address.prefix}/" if self.address.prefix else ""

    @property
    def _kept_as(self) -> str:
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
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
            response_checksum_validation="when_required",  # `fits` compares more, and after a resumption too
        )
        return boto3.session.Session().client("s3", config=config)

    def _bring(self, entry: Entry, stop: threading.Event) -> Path:
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
                        f"arrived {DOWNLOADS} times with bytes that do not fit its checksum; put it there again, "
                        "or mend what lies between",
                    )
        return place

    def _object(self, entry: Entry) -> dict[str, str]:
        return {"Bucket": self.address.bucket, "Key": f"{self._root}{entry.path}"}

    def _complete(self, entry: Entry, part: Path, stop: threading.Event) -> None:
        """Append what `part` lacks of an entry, however often the connection breaks while bytes still come."""
        size, breaks = entry.bytes or 0, 0
        if part.stat().st_size > size:
            part.write_bytes(b"")
        while (have := part.stat().st_size) < size:
            try:
                self._append(entry, part, have, stop)
            except _BrokeOffError as error:
                breaks = 1 if part.stat().st_size - have >= LEAST_BYTES else breaks + 1
                if breaks >= TRIES:
                    raise ServiceError(
                        f"{self._name}/{entry.path} broke off {breaks} times in a row ({error}); "
                        "the same again goes on from there"
                    ) from error
                stop.wait(0.2 * 2**breaks)

    def _append(self, entry: Entry, part: Path, have: int, stop: threading.Event) -> None:
        asked = {"Range": f"bytes={have}-"} if have else {}
        answer = self._client.get_object(**self._object(entry), IfMatch=f'"{entry.fingerprint}"', **asked)
        if have and "ContentRange" not in answer:  # a server that knows no ranges sends all of it
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
            raise _BrokeOffError("it ended before its end")


class _BrokeOffError(Exception):
    """A body ended before its end."""


def _body(body: Any, window_s: float) -> Iterator[bytes]:
    from urllib3.exceptions import HTTPError  # an extra

    begun, had = time.monotonic(), 0
    try:
        with body:
            # What botocore wraps waits for all that it is asked for, so a slow connection would never be seen.
            while chunk := body._raw_stream.read1(CHUNK_BYTES):
                yield chunk
                had += len(chunk)
                if time.monotonic() - begun > window_s:
                    if had < LEAST_BYTES:
                        raise _BrokeOffError(f"{had} bytes in {window_s:g} s")
                    begun, had = time.monotonic(), 0
    except (HTTPError, ConnectionError, TimeoutError) as error:
        raise _BrokeOffError(str(error)) from error
