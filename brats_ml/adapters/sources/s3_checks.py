"""Compare a file's bytes with an S3 object, by its ETag where that consists of MD5s, and by checksums that S3 keeps."""

import base64
import hashlib
import re
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from brats_ml.adapters.sources.base import CHUNK_BYTES, file_digest

ENCRYPTED = ("aws:kms", "aws:kms:dsse")


def fits(path: Path, etag: str, *, client: Any, place: Mapping[str, str]) -> bool:
    """Return whether ETag and checksums of an object fit a file's bytes.

    The ETag of an object that was uploaded at once is the MD5 of its bytes. In N parts it is the MD5 of the parts' MD5s
    and ends in -N. Under KMS or a customer's key it is neither. SHA-1, SHA-256 and CRC-32 of whole objects are compared
    where S3 keeps them.

    Args:
        path: The file, which has the object's size.
        etag: ETag without quotes.
        client: Client of S3.
        place: `Bucket` and `Key`.
    """
    head: Mapping[str, Any] = {}
    if not re.fullmatch(r"[0-9a-f]{32}", etag) or file_digest(path, "md5").hex() != etag:
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
    return all(
        head.get(name) in (None, base64.b64encode(measure(path)).decode()) for name, measure in CHECKSUMS.items()
    )


def composite_etag(path: Path, sizes: list[int]) -> str:
    """Return the ETag of a file that was uploaded in parts of these sizes."""
    whole = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        for size in sizes:
            part, end = hashlib.md5(usedforsecurity=False), file.tell() + size
            while chunk := file.read(min(end - file.tell(), CHUNK_BYTES)):
                part.update(chunk)
            whole.update(part.digest())
    return f"{whole.hexdigest()}-{len(sizes)}"


def _part_sizes(client: Any, place: Mapping[str, str], parts: int, total: int) -> list[int]:
    """Return the size of each part; one request suffices where all parts but the last have the same size."""
    first = int(client.head_object(**place, PartNumber=1)["ContentLength"])
    last = total - first * (parts - 1)
    if 0 < last <= first:
        return [first] * (parts - 1) + [last]
    rest = [int(client.head_object(**place, PartNumber=number)["ContentLength"]) for number in range(2, parts + 1)]
    return [first, *rest]


def _crc32(path: Path) -> bytes:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            value = zlib.crc32(chunk, value)
    return value.to_bytes(4, "big")


CHECKSUMS: dict[str, Callable[[Path], bytes]] = {
    "ChecksumCRC32": _crc32,
    "ChecksumSHA1": lambda path: file_digest(path, "sha1"),
    "ChecksumSHA256": lambda path: file_digest(path, "sha256"),
}
