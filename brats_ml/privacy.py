"""Who on this machine may read what commands write: scans of patients, predictions, credentials."""

import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from brats_ml import environment
from brats_ml.errors import ConfigError

USUAL = 0o077


def umask() -> int:
    """Return the permissions that new files and folders lack, as the environment asks.

    Raises:
        ConfigError: The variable is not an octal number, or keeps files from their owner.
    """
    asked = environment.UMASK.read()
    if asked is None:
        return USUAL
    if not re.fullmatch(r"0?[0-7]{2}", asked):
        raise ConfigError(
            f"{environment.UMASK.name} is {asked!r}: set it to an octal number such as 077, or 027 for a group",
            key=environment.UMASK.name,
        )
    return int(asked, 8)


def apply_umask() -> None:
    """Let this process and its children create only what `umask` allows.

    Raises:
        ConfigError: See `umask`.
    """
    os.umask(umask())


def restrict(folders: Iterable[Path]) -> None:
    """Take from existing folders of this user the permissions that a new one would lack.

    Whoever may not enter a folder reads nothing in it, whatever the permissions there are; DVC makes the files of its
    cache readable by all.
    """
    for folder in folders:
        with suppress(FileNotFoundError):
            state = folder.stat()
            if state.st_uid == os.geteuid() and state.st_mode & umask():
                folder.chmod(stat.S_IMODE(state.st_mode) & ~umask())
