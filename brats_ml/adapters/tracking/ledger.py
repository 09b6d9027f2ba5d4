"""The ledger of promotions and of looks at the locked patients: one JSON line each, appended whole or not at all."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROMOTION, LOOK = "promotion", "look"


def read_entries(ledger: Path) -> list[dict[str, Any]]:
    """Return the entries of the ledger, oldest first; a last line that was cut off does not count.

    A crash or a full disk can cut off the last line only, and its promotion never happened.
    """
    if not ledger.exists():
        return []
    whole = _whole_lines(ledger.read_bytes())
    return [json.loads(line) for line in whole.splitlines()]


def promotions(ledger: Path) -> list[dict[str, Any]]:
    """Return the promotions, oldest first; a line without `event` is one, since older ledgers have nothing else."""
    return [entry for entry in read_entries(ledger) if entry.get("event", PROMOTION) == PROMOTION]


def looks(ledger: Path) -> list[dict[str, Any]]:
    """Return the looks at the locked patients, oldest first: one for each version that the gate judged on them."""
    return [entry for entry in read_entries(ledger) if entry.get("event") == LOOK]


def append_entry(ledger: Path, entry: Mapping[str, Any]) -> None:
    """Append an entry, after removing a last line that was cut off.

    Raises:
        OSError: The disk is full or may not be written; the ledger is as before.
    """
    line = memoryview(json.dumps(entry, sort_keys=True).encode() + b"\n")
    # Without a buffer, closing the file has nothing left to write after an error.
    with ledger.open("ab+", buffering=0) as file:
        file.seek(0)
        whole = _whole_lines(file.read())
        file.truncate(len(whole))
        try:
            while line:
                line = line[file.write(line) :]
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), len(whole))
            raise


def _whole_lines(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]
