"""Fitted estimators from and to `.skops` files: equal estimators give equal bytes, and no file may bring code of its own."""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import skops.io
from sklearn.pipeline import Pipeline

from brats_ml.adapters.files import replacing, require
from brats_ml.errors import ModelError

# What our estimators hold beyond the types that skops itself trusts: the arrays of a decision tree.
TRUSTED = ("sklearn.tree._tree.Tree",)
EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)


def write_estimator(path: Path, estimator: Pipeline) -> None:
    """Write a fitted pipeline without the clock times and memory addresses that skops puts into the file."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator))) as stored:
        schema = json.loads(stored.read("schema.json"))
        numbers: dict[int, int] = {}
        canonical = json.dumps(_renumbered(schema, numbers), indent=1)
        arrays = {_renamed(name, numbers): stored.read(name) for name in stored.namelist() if name != "schema.json"}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as rewritten:
        for name, content in sorted({**arrays, "schema.json": canonical.encode()}.items()):
            rewritten.writestr(zipfile.ZipInfo(name, EPOCH_OF_ZIP), content, compress_type=zipfile.ZIP_DEFLATED)


def load_estimator(path: Path) -> Pipeline:
    """Read a fitted pipeline back.

    Raises:
        MissingInputError: There is no such file.
        ModelError: The file is damaged, holds a type that is not trusted, or is no pipeline.
    """
    require(path, made_by="brats survival")
    try:
        untrusted = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED)
        if untrusted:
            raise ModelError(f"{path} holds types that are not trusted: {', '.join(sorted(untrusted))}")
        estimator = skops.io.load(path, trusted=list(TRUSTED))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, zipfile.BadZipFile) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path} cannot be loaded as a skops estimator: {str(error).splitlines()[0]}") from error
    if not isinstance(estimator, Pipeline):
        raise ModelError(f"{path} holds a {type(estimator).__name__}, not a pipeline of scaler and classifier")
    return estimator


def _renumbered(node: Any, numbers: dict[int, int]) -> Any:
    """Number objects, which skops names by memory address, in the order in which they appear."""
    if isinstance(node, list):
        return [_renumbered(item, numbers) for item in node]
    if not isinstance(node, dict):
        return node
    if "__id__" in node:
        numbers.setdefault(node["__id__"], len(numbers) + 1)
    fresh = {key: _renumbered(value, numbers) for key, value in node.items()}
    if "__id__" in node:
        fresh["__id__"] = numbers[node["__id__"]]
    if isinstance(node.get("file"), str):
        fresh["file"] = _renamed(node["file"], numbers)
    return fresh


def _renamed(name: str, numbers: dict[int, int]) -> str:
    return re.sub(r"^\d+", lambda address: str(numbers[int(address.group())]), name)
