"""Whether a file's bytes are an object's: by its ETag where that is made of MD5s, and by the checksums S3 keeps."""

import base64
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from brats_ml.adapters.sources.port import CHUNK_BYTES

ENCRYPTED = ("aws:kms", "aws:kms:dsse")


def fits(path: Path, etag: str, *, client: Any, place: Mapping[str, str]) -> bool:
    """Return whether nothing that S3 tells of an object contradicts a file's bytes.

    The ETag of an object that was put at once is the MD5 of its bytes; of one put in N parts it is the MD5 of the
    parts' MD5s, and ends in -N; under KMS or a customer's key it is neither. SHA-1, SHA-256 and CRC-32 of whole
    objects are compared where S3 keeps them.

    Args:
        path: The file, of the object's size.
        etag: Without quotes.
        client: Of S3.
        place: `Bucket` and `Key`.
    """
    head: Mapping[str, Any] = {}
    if not re.fullmatch(r"[0-9a-f]{32}", etag) or _md5(path) != etag:
        head = client.head_object(**place, ChecksumMode="ENABLED")
        opaque = head.get("ServerSideEncryption") in ENCRYPTED or "SSECustomerAlgorithm" in head
        parts = re.fullmatch(r"[0-9a-f]{32}-(\d+)", etag)
        if parts and not opaque:
            sizes = _part_sizes(client, place, int(parts[1]), path.stat().st_size)
            if sum(sizes) == path.stat().st_size and composite_etag(path, sizes) != etag:
                return False
        elif re.fullmatch(r"[0-9a-f]{32}", etag) and not opaque:
            return False
    if head.get("ChecksumType") == "COMPOSITE":
        return True
    return all(head.get(name) in (None, measure(path)) for name, measure in CHECKSUMS.items())


def composite_etag(path: Path, sizes: list[int]) -> str:
    """Return the ETag of a file that was put in parts of these sizes."""
    whole = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        for size in sizes:
            part, end = hashlib.md5(usedforsecurity=False), file.tell() + size
            while chunk := file.read(min(end - file.tell(), CHUNK_BYTES)):
                part.update(chunk)
            whole.update(part.digest())
    return f"{whole.hexdigest()}-{len(sizes)}"


def _part_sizes(client: Any, place: Mapping[str, str], parts: int, total: int) -> list[int]:
    """Return the size of each part; S3 is asked for all of them only where the first does not tell the others."""
    first = int(client.head_object(**place, PartNumber=1)["ContentLength"])
    last = total - first * (parts - 1)
    if 0 < last <= first:
        return [first] * (parts - 1) + [last]
    rest = [int(client.head_object(**place, PartNumber=number)["ContentLength"]) for number in range(2, parts + 1)]
    return [first, *rest]


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


def _sha(name: str) -> Callable[[Path], str]:
    def measure(path: Path) -> str:
        digest = hashlib.new(name, usedforsecurity=False)
        for chunk in _chunks(path):
            digest.update(chunk)
        return base64.b64encode(digest.digest()).decode()

    return measure


def _crc32(path: Path) -> str:
    value = 0
    for chunk in _chunks(path):
        value = zlib.crc32(chunk, value)
    return base64.b64encode(value.to_bytes(4, "big")).decode()


CHECKSUMS = {"ChecksumCRC32": _crc32, "ChecksumSHA1": _sha("sha1"), "ChecksumSHA256": _sha("sha256")}
