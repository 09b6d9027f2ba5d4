"""Fitted estimators as `.skops` files: equal estimators give equal bytes, and no file runs code of its own."""

import io
import os
import re
import zipfile
from typing import Any

import skops.io
from sklearn.calibration import CalibratedClassifierCV
from sklearn.pipeline import Pipeline

from brats_ml.adapters.model_files.zip_members import refused
from brats_ml.errors import ModelError
from brats_ml.files import replacing, require
from brats_ml.workspace import Artefact

# Types in our estimators that skops does not trust by itself; all of them are data.
TRUSTED = (
    "brats_ml.survival.cox.Cox",
    "brats_ml.survival.survival_forest.SurvivalForest",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._TemperatureScaling",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.tree._tree.Tree",
    "sksurv.ensemble.forest.RandomSurvivalForest",
    "sksurv.tree.tree.SurvivalTree",
)
EPOCH_OF_ZIP = (1980, 1, 1, 0, 0, 0)
# skops names objects and their array files by memory address.
ADDRESS_IN_SCHEMA = re.compile(r'(?<="__id__": )\d+|(?<="file": ")\d+')
ADDRESS_IN_NAME = re.compile(r"^\d+")


OURS = (Pipeline, CalibratedClassifierCV)


def write_estimator(path: os.PathLike[str], estimator: Any) -> None:
    """Write a fitted estimator without the clock times and memory addresses that skops puts into the file."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator))) as stored:
        members = {name: stored.read(name) for name in stored.namelist()}
    numbers: dict[str, str] = {}

    def number(address: re.Match[str]) -> str:
        return numbers.setdefault(address.group(), str(len(numbers) + 1))

    schema = ADDRESS_IN_SCHEMA.sub(number, members.pop("schema.json").decode())
    canonical = {ADDRESS_IN_NAME.sub(number, name): content for name, content in members.items()}
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as rewritten:
        for name, content in sorted({**canonical, "schema.json": schema.encode()}.items()):
            rewritten.writestr(zipfile.ZipInfo(name, EPOCH_OF_ZIP), content, compress_type=zipfile.ZIP_DEFLATED)


def load_estimator(file: Artefact) -> Any:
    """Read a fitted estimator.

    Raises:
        MissingInputError: There is no such file.
        ModelError: The file is damaged, holds a type that is not trusted, or is not one of our estimators.
    """
    path = require(file)
    try:
        reason = refused(path)
        if reason:
            raise ModelError(f"{path} cannot be loaded as a skops estimator: {reason}")
        untrusted = set(skops.io.get_untrusted_types(file=path)) - set(TRUSTED)
        if untrusted:
            raise ModelError(f"{path} holds types that are not trusted: {', '.join(sorted(untrusted))}")
        estimator = skops.io.load(path, trusted=list(TRUSTED))
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        ImportError,
        RecursionError,
        zipfile.BadZipFile,
    ) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{path} cannot be loaded as a skops estimator: {str(error).splitlines()[0]}") from error
    if not isinstance(estimator, OURS):
        raise ModelError(f"{path} holds a {type(estimator).__name__}, not a pipeline of scaler and classifier")
    return estimator
