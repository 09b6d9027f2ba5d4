"""Repair of DVC's own locks after a kill; DVC would refuse every later command.

DVC records in a file which process reads or writes which path. The module is here and not in `brats_ml/locks.py`, since
it needs DVC's internals and only the tasks of a run meet such a record.
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dvc.lock import LockError, make_lock
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK, SCHEMA
from voluptuous import Invalid

from brats_ml.files import write_json

# How a task calls DVC; an entry has the words of its command.
STAGE = re.compile(r" repro --single-item (?:.* )?(\S+)$")


def repair(folder: Path, *, is_alive: Callable[[str], bool]) -> list[str]:
    """Remove a record that a kill has cut off, and the entries of stages that no process works on any more.

    DVC rewrites the record in place, so a kill or a full disk can cut it off. An entry has a process id and no host,
    and DVC takes any process here with that id for the holder. The entry also names its stage, and each task holds a
    lock while DVC works for it, which the system frees on whatever host. An entry that no task wrote stays.

    Args:
        folder: Root of a DVC repository; the caller is about to run DVC in it.
        is_alive: Whether a process on any host works on the stage with this address.

    Returns:
        One sentence for each repair, and for entries that stay though no task wrote them.
    """
    lock_dir = folder / ".dvc/tmp"
    path = lock_dir / RWLOCK_FILE
    # The holder of this lock is alive and is just rewriting the record.
    with suppress(LockError):
        if path.is_file():
            with make_lock(str(lock_dir / RWLOCK_LOCK), tmp_dir=str(lock_dir)):
                return _repair(path, is_alive)
    return []


def _repair(path: Path, is_alive: Callable[[str], bool]) -> list[str]:
    record = _read(path)
    if record is None:
        path.unlink()
        return [f"removed {path}, which a kill had cut off"]
    written, read = record["write"], record["read"]
    entries = [*written.values(), *(info for infos in read.values() for info in infos)]
    stages = {stage for stage in map(_stage, entries) if stage}
    ended = {stage for stage in stages if not is_alive(stage)}
    kept: dict[str, Any] = {
        "write": {name: info for name, info in written.items() if _stage(info) not in ended},
        "read": {name: [info for info in infos if _stage(info) not in ended] for name, infos in read.items()},
    }
    kept["read"] = {name: infos for name, infos in kept["read"].items() if infos}
    done = []
    if kept != record:
        write_json(path, kept)
        done.append(f"removed entries of ended processes from {path}")
    if not all(map(_stage, entries)):
        done.append(
            f"{path} names processes that no task started and that may run on another host; if none works in this run, "
            "remove the file"
        )
    return done


def _read(path: Path) -> dict[str, Any] | None:
    """Return the record, None where DVC would refuse it as damaged."""
    try:
        record: dict[str, Any] = SCHEMA(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, Invalid):
        return None
    return record


def _stage(info: dict[str, Any]) -> str | None:
    """Return the address of the stage of an entry, None where no task wrote it."""
    found = STAGE.search(info["cmd"])
    return found[1] if found else None
