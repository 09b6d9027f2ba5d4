"""Passwords of the accounts of a server, in a file that only its owner can read."""

import json
import secrets
from pathlib import Path

from brats_ml import files
from brats_ml.errors import StorageError

LENGTH_BYTES = 12


def ensure_passwords(path: Path, *accounts: str) -> dict[str, str]:
    """Return the password of each account; those that the file lacks are made and written.

    Args:
        path: The file; the first call creates it.
        accounts: Names of accounts.

    Raises:
        StorageError: The file is damaged, or there is no space for new passwords; it stays as it was.
    """
    known = _read(path)
    missing = {account: secrets.token_urlsafe(LENGTH_BYTES) for account in accounts if account not in known}
    if missing:
        files.write_json(path, known | missing, mode=0o600)
    return {account: (known | missing)[account] for account in accounts}


def renew_password(path: Path, account: str) -> str:
    """Write a new password of an account into the file, and return it."""
    made = secrets.token_urlsafe(LENGTH_BYTES)
    files.write_json(path, {**_read(path), account: made}, mode=0o600)
    return made


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        document = json.loads(path.read_text())
    except ValueError:
        document = None
    if not isinstance(document, dict) or not all(isinstance(value, str) and value for value in document.values()):
        raise StorageError(
            f"{path} is damaged: run `brats down`, restore the file or remove it with the accounts next to it"
        )
    return document
