"""The ledger of promotions and of looks at the locked patients: one JSON line each, appended whole or not at all.

Each line ends with a digest of itself and of all lines before it, so a change of any line is noticed.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from brats_ml.errors import TableError

PROMOTION, LOOK = "promotion", "look"
# The key of the digest; lines of older ledgers lack it.
CHAIN = "chain"


def read_entries(ledger: Path) -> list[dict[str, Any]]:
    """Return the entries of the ledger, oldest first; a last line that was cut off does not count.

    A crash or a full disk can cut off the last line only, and its promotion never happened.

    Raises:
        TableError: A line is not what was appended.
    """
    if not ledger.exists():
        return []
    return list(_entries(ledger, ledger.read_bytes()))


def promotions(ledger: Path) -> list[dict[str, Any]]:
    """Return the promotions, oldest first; a line without `event` is one, since older ledgers have nothing else."""
    return [entry for entry in read_entries(ledger) if entry.get("event", PROMOTION) == PROMOTION]


def looks(ledger: Path) -> list[dict[str, Any]]:
    """Return the looks at the locked patients, oldest first: one for each version that the gate judged on them."""
    return [entry for entry in read_entries(ledger) if entry.get("event") == LOOK]


def append_entry(ledger: Path, entry: Mapping[str, Any]) -> None:
    """Append an entry, after removing a last line that was cut off.

    Raises:
        TableError: An earlier line is not what was appended.
        OSError: The disk is full or may not be written; the ledger is as before.
    """
    ledger.parent.mkdir(parents=True, exist_ok=True)
    # Without a buffer, closing the file has nothing left to write after an error.
    with ledger.open("ab+", buffering=0) as file:
        file.seek(0)
        content = file.read()
        list(_entries(ledger, content))
        whole = _whole_lines(content)
        chained = {**entry, CHAIN: _chain(hashlib.sha256(whole), entry)}
        line = memoryview(json.dumps(chained, sort_keys=True).encode() + b"\n")
        file.truncate(len(whole))
        try:
            while line:
                line = line[file.write(line) :]
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), len(whole))
            raise


def _entries(ledger: Path, content: bytes) -> Iterator[dict[str, Any]]:
    whole, before, chained = _whole_lines(content), hashlib.sha256(), False
    lines = whole.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        entry = _entry(line)
        chain = None if entry is None else entry.pop(CHAIN, None)
        chained = chained or chain is not None
        if entry is None or (chained and chain != _chain(before, entry)):
            raise _changed(ledger, number)
        yield entry
        before.update(line)
    # A line that was cut off is the beginning of an entry; a whole one and a byte more had its end changed.
    if _entry(content[len(whole) : -1]) is not None:
        raise _changed(ledger, len(lines) + 1)


def _changed(ledger: Path, number: int) -> TableError:
    return TableError(ledger, f"line {number} is not what was appended: restore the ledger from a backup")


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _chain(before: Any, entry: Mapping[str, Any]) -> str:
    """Return the digest of an entry and of the lines before it, from the running hash of these lines."""
    whole = before.copy()
    whole.update(json.dumps(entry, sort_keys=True).encode())
    return str(whole.hexdigest())


def _whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]
