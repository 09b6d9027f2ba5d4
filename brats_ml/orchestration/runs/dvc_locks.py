"""DVC's record of which process reads and writes what, mended after a kill; DVC itself would refuse ever after."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from dvc.lock import LockError, make_lock
from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK


def mend(folder: Path) -> list[str]:
    """Remove what a killed DVC left half written, and entries of processes that are no DVC by now.

    DVC rewrites the record in place, so that a kill or a full disk can cut it off; and it takes any process with the
    recorded id for the one that locked, though ids are given anew.

    Args:
        folder: Root of a DVC repository.

    Returns:
        One clause for each thing done.
    """
    lock_dir = folder / ".dvc/tmp"
    path = lock_dir / RWLOCK_FILE
    # Who holds the guard is alive and at work on the record.
    with suppress(LockError):
        if path.is_file():
            with make_lock(str(lock_dir / RWLOCK_LOCK), tmp_dir=str(lock_dir)):
                return _mend(path)
    return []


def _mend(path: Path) -> list[str]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        path.unlink()
        return [f"{path} was cut off by a kill and was removed"]
    kept = {
        "write": {name: info for name, info in record.get("write", {}).items() if _at_work(info)},
        "read": {name: [*filter(_at_work, infos)] for name, infos in record.get("read", {}).items()},
    }
    kept["read"] = {name: infos for name, infos in kept["read"].items() if infos}
    if kept == {"write": record.get("write", {}), "read": record.get("read", {})}:
        return []
    temporary = path.with_name(f"{path.name}.mended")
    temporary.write_text(json.dumps(kept), encoding="utf-8")
    temporary.replace(path)
    return [f"entries of processes that ended were removed from {path}"]


def _at_work(info: dict[str, Any]) -> bool:
    try:
        return any("dvc" in word for word in psutil.Process(int(info["pid"])).cmdline())
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # another user's; DVC decides
