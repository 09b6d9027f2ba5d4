"""Keras models from and to `.keras` files: equal weights give equal bytes, and no file runs code of its own."""

import json
import os
import zipfile
from pathlib import Path

import keras

from brats_ml.errors import ModelError
from brats_ml.files import replacing

EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)


def write_model(path: os.PathLike[str], model: keras.Model) -> None:
    """Write a model without the date that Keras puts into it."""
    with replacing(path) as temporary:
        model.save(temporary)
        _without_clock(temporary)


def read_model(path: Path) -> keras.Model:
    """Read a model in safe mode: only registered objects, and no pickle.

    Raises:
        ModelError: The file is damaged, or needs objects that brats_ml does not register.
    """
    try:
        return keras.saving.load_model(path, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{path} cannot be loaded as a Keras model in safe mode: {reason}") from error


def _without_clock(path: Path) -> None:
    with zipfile.ZipFile(path) as stored:
        members = {name: stored.read(name) for name in sorted(stored.namelist())}
    metadata = json.loads(members["metadata.json"])
    metadata.pop("date_saved", None)
    members["metadata.json"] = json.dumps(metadata, sort_keys=True).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as rewritten:
        for name, content in members.items():
            rewritten.writestr(zipfile.ZipInfo(name, EPOCH_OF_ZIP), content)
