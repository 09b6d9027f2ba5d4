"""Keras models from and to `.keras` files: equal weights give equal bytes, and no file runs code of its own.

Keras' safe mode refuses the ways to run code that are known. A layer may also read files or call a server while it is
made, such as StringLookup. So a file may name only the kinds of object that our networks consist of.
"""

import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras

from brats_ml.adapters.model_files.zip_members import refused
from brats_ml.errors import ModelError
from brats_ml.files import replacing

EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)
CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
LAYERS = {
    *("InputLayer", "Concatenate", "Dropout", "GroupNormalization", "LeakyReLU", "MaxPooling2D", "UpSampling2D"),
    *("Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose"),
}
# Modules of Keras without an object that reads, writes or calls anything.
PLAIN_MODULES = {
    "keras.initializers",
    "keras.optimizers",
    "keras.losses",
    "keras.metrics",
    "keras.optimizers.schedules",
}
OTHERS = {
    (None, "__keras_tensor__"),
    ("keras", "DTypePolicy"),
    ("keras.src.models.functional", "Functional"),
    ("builtins", "function"),  # the name of a registered function, or of one of Keras' own
}
OURS = "brats_ml>"  # Keras finds such a name only among the objects that brats_ml registers


def write_model(path: os.PathLike[str], model: keras.Model) -> None:
    """Write a model without the date that Keras puts into it."""
    with replacing(path) as temporary:
        model.save(temporary)
        _without_clock(temporary)


def read_model(path: Path) -> keras.Model:
    """Read a model in safe mode: only registered objects, and no pickle.

    Raises:
        ModelError: The file is damaged, or needs objects that brats_ml does not use.
    """
    try:
        _check_members(path)
        return keras.saving.load_model(path, safe_mode=True)
    except ModelError:
        raise
    except (OSError, ValueError, TypeError, KeyError, RecursionError, zipfile.BadZipFile) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{path} cannot be loaded as a Keras model in safe mode: {reason}") from error


def _check_members(path: Path) -> None:
    reason = refused(path, (CONFIG, METADATA, WEIGHTS))
    if reason is None:
        with zipfile.ZipFile(path) as stored:
            with stored.open(WEIGHTS) as weights, h5py.File(weights) as file:
                outside = next(_outside(file), None)
            foreign = {kind for kind in _kinds(json.loads(stored.read(CONFIG))) if not _is_known(*kind)}
        names = sorted(f"{module}.{name}" for module, name, _ in foreign)
        reason = f"our networks have no {', '.join(names)}" if names else outside
    if reason:
        raise ModelError(f"{path} cannot be loaded as a Keras model in safe mode: {reason}")


def _outside(group: h5py.Group) -> Iterator[str]:
    """Yield a sentence for each link, external dataset and virtual dataset, which could lead to another file."""
    for name in group:
        link, found = group.get(name, getlink=True), None
        if isinstance(link, h5py.HardLink):
            found = group[name]
        if isinstance(found, h5py.Group):
            yield from _outside(found)
        elif not isinstance(found, h5py.Dataset) or found.external or found.is_virtual:
            yield f"its weights {group.name}/{name} are not in the file itself"


def _kinds(value: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Yield module, name and registered name of each object that a configuration has Keras make."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value.get("module"), value["class_name"], value.get("registered_name")
        for inner in value.values():
            yield from _kinds(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _kinds(inner)


def _is_known(module: Any, name: Any, registered: Any) -> bool:
    if isinstance(registered, str) and registered.startswith(OURS):
        return True
    return (module == "keras.layers" and name in LAYERS) or module in PLAIN_MODULES or (module, name) in OTHERS


def _without_clock(path: Path) -> None:
    with zipfile.ZipFile(path) as stored:
        members = {name: stored.read(name) for name in sorted(stored.namelist())}
    metadata = json.loads(members[METADATA])
    metadata.pop("date_saved", None)
    members[METADATA] = json.dumps(metadata, sort_keys=True).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as rewritten:
        for name, content in members.items():
            rewritten.writestr(zipfile.ZipInfo(name, EPOCH_OF_ZIP), content)
