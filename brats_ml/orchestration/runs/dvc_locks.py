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
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK

from brats_ml.files import write_json


def repair(folder: Path) -> list[str]:
    """Remove a record that a kill has cut off, and entries of processes that are not DVC.

    DVC rewrites the record in place, so a kill or a full disk can cut it off. DVC also takes any process with the
    recorded id for the holder of the lock, though the system gives ids again.

    Args:
        folder: Root of a DVC repository.

    Returns:
        One sentence for each repair.
    """
    lock_dir = folder / ".dvc/tmp"
    path = lock_dir / RWLOCK_FILE
    # The holder of this lock is alive and is just rewriting the record.
    with suppress(LockError):
        if path.is_file():
            with make_lock(str(lock_dir / RWLOCK_LOCK), tmp_dir=str(lock_dir)):
                return _repair(path)
    return []


def _repair(path: Path) -> list[str]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        path.unlink()
        return [f"removed {path}, which a kill had cut off"]
    kept = {
        "write": {name: info for name, info in record.get("write", {}).items() if _is_dvc(info)},
        "read": {name: [*filter(_is_dvc, infos)] for name, infos in record.get("read", {}).items()},
    }
    kept["read"] = {name: infos for name, infos in kept["read"].items() if infos}
    if kept == {"write": record.get("write", {}), "read": record.get("read", {})}:
        return []
    write_json(path, kept)
    return [f"removed entries of ended processes from {path}"]


def _is_dvc(info: dict[str, Any]) -> bool:
    try:
        return any("dvc" in word for word in psutil.Process(int(info["pid"])).cmdline())
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # another user's process; DVC decides
