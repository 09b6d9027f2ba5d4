"""Repair of DVC's own locks after a kill; DVC would refuse every later command.

DVC records in a file which process reads or writes which path. The module is here and not in `brats_ml/locks.py`, since
it needs DVC's internals and only the tasks of a run meet such a record.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from dvc.lock import LockError, make_lock
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK, SCHEMA
from voluptuous import Invalid

from brats_ml.files import process_space, write_json

# In DVC's folder for temporary files: a file for each host or container that has run DVC in the repository.
SPACES = "process-spaces"
UNKNOWN = "unknown"


def repair(folder: Path) -> list[str]:
    """Remove a record that a kill has cut off, and entries of ended processes of this host or container.

    DVC rewrites the record in place, so a kill or a full disk can cut it off. DVC also takes any process with the
    recorded id for the holder of the lock, though the system gives ids again. An entry has no host. If another host or
    container runs DVC in the repository as well, an id without a process here may be alive there, so its entry stays.

    Args:
        folder: Root of a DVC repository; the caller is about to run DVC in it.

    Returns:
        One sentence for each repair, and for entries that stay though no process here holds them.
    """
    lock_dir = folder / ".dvc/tmp"
    path = lock_dir / RWLOCK_FILE
    shared = _register(lock_dir / SPACES, held=_has_entries(path))
    # The holder of this lock is alive and is just rewriting the record.
    with suppress(LockError):
        if path.is_file():
            with make_lock(str(lock_dir / RWLOCK_LOCK), tmp_dir=str(lock_dir)):
                return _repair(path, shared=shared)
    return []


def _read(path: Path) -> dict[str, Any] | None:
    """Return the record, None where DVC would refuse it as damaged."""
    try:
        record: dict[str, Any] = SCHEMA(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, Invalid):
        return None
    return record


def _has_entries(path: Path) -> bool:
    record = _read(path) if path.is_file() else {}
    return record is None or any(record.values())


def _register(spaces: Path, *, held: bool) -> bool:
    """Note that this process space runs DVC here; return whether another one does or may do so."""
    if held and not spaces.exists():
        spaces.mkdir(parents=True)
        (spaces / UNKNOWN).touch()  # an older version, or a person, has run DVC, on whatever host
    spaces.mkdir(parents=True, exist_ok=True)
    (spaces / process_space()).touch()
    return len(list(spaces.iterdir())) > 1


def _repair(path: Path, *, shared: bool) -> list[str]:
    record = _read(path)
    if record is None:
        path.unlink()
        return [f"removed {path}, which a kill had cut off"]
    kept = {
        "write": {name: info for name, info in record["write"].items() if _is_dvc(info)},
        "read": {name: [*filter(_is_dvc, infos)] for name, infos in record["read"].items()},
    }
    kept["read"] = {name: infos for name, infos in kept["read"].items() if infos}
    if kept == record:
        return []
    if shared:
        return [f"{path} names processes that may run on another host; if none works in this run, remove the file"]
    write_json(path, kept)
    return [f"removed entries of ended processes from {path}"]


def _is_dvc(info: dict[str, Any]) -> bool:
    try:
        return any("dvc" in word for word in psutil.Process(int(info["pid"])).cmdline())
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # another user's process; DVC decides
