"""Serve registered models through MLflow's pyfunc interface.

MLflow calls `_load_pyfunc` with the registered folder. This module imports at its top only what comes with MLflow, so
that a missing package ends in a sentence.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array
from numpy.typing import NDArray

from brats_ml.adapters.tracking.registry import verify
from brats_ml.adapters.tracking.version import DIGESTS, NAME, Version
from brats_ml.cohort.clinical import GROUPS
from brats_ml.cohort.label_table import GLIOMA, LABEL_SETS, LabelSet
from brats_ml.errors import ConfigError, ModelError
from brats_ml.workspace.outputs import ModelFolder, SurvivalFolder

if TYPE_CHECKING:
    from brats_ml.config import Params
    from brats_ml.models.served_cases import ServedWith, Serving

# Packages of the survival models, and those that segmentation needs, too. OpenVINO is an extra.
SURVIVAL_PACKAGES = ("numpy", "pandas", "pydantic", "scikit-learn", "scipy", "skops")
SEGMENTATION_PACKAGES = (*SURVIVAL_PACKAGES, "isal", "keras", "nibabel", "ruamel.yaml")
OPENVINO = "openvino"
# Each of them is TensorFlow; the file of a model names the one that was installed where it was registered.
BACKENDS = ("tensorflow-cpu", "tensorflow")
# MLflow's format: the packages that a model needs, and the name and number of its version in a copy by `models:/`.
REQUIREMENTS, REGISTERED = "requirements.txt", "registered_model_meta"


def segmentation_interface(params: "Params", label_set: LabelSet = LABEL_SETS[GLIOMA]) -> dict[str, Any]:
    """Return what MLflow keeps of a segmentation model besides its files: a table of folders in and one of results out.

    Returns:
        The arguments `signature`, `example`, `requirements` and `config` of `save_pyfunc`.
    """
    from brats_ml.models.served_cases import CASE, OUTPUT, TEXTS, Serving, number_columns
    from brats_ml.survival.features import AGE

    folders: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, name) for name in (CASE, OUTPUT)]
    inputs: list[ColSpec | TensorSpec] = [*folders, ColSpec(DataType.double, AGE, required=False)]
    outputs: list[ColSpec | TensorSpec] = [
        *folders,
        *(ColSpec(DataType.string, name, required=False) for name in TEXTS),
        *(ColSpec(DataType.double, name, required=False) for name in number_columns(label_set)),
        ColSpec(DataType.boolean, "qc_review", required=False),
    ]
    config = Serving(
        runtime=params.evaluate.runtime,
        precision=params.evaluate.precision,
        rules=params.validate_,
        naming=params.acquire.naming,
    )
    backend = next(filter(_is_installed, BACKENDS), BACKENDS[-1])
    return {
        "signature": ModelSignature(Schema(inputs), Schema(outputs)),
        "example": pd.DataFrame([{CASE: "/data/new/BraTS20_Validation_001", OUTPUT: "/data/predictions", AGE: 61.0}]),
        "requirements": requirements([*SEGMENTATION_PACKAGES, *filter(_is_installed, [OPENVINO]), backend]),
        "config": config.model_dump(mode="json"),
    }


def survival_interface(features: Sequence[str], *, timed: bool) -> tuple[ModelSignature, pd.DataFrame]:
    """Return the signature and an example input of a survival model that reads `features`.

    Args:
        features: The columns that the model reads.
        timed: Whether the model returns survival curves.
    """
    from brats_ml.survival.features import AGE

    curves = [
        ColSpec(DataType.double, "expected_days"),
        ColSpec(Array(DataType.double), "curve_days"),
        ColSpec(Array(DataType.double), "curve_alive"),
    ]
    outputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string, "group"),
        *(ColSpec(DataType.double, f"probability_{group}") for group in GROUPS),
        *(curves if timed else []),
        ColSpec(DataType.string, "reason"),
    ]
    inputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, name) for name in features]
    signature = ModelSignature(Schema(inputs), Schema(outputs))
    return signature, pd.DataFrame([{name: 60.0 if name == AGE else 0.02 for name in features}])


def requirements(packages: Sequence[str]) -> list[str]:
    """Return packages at the versions installed here."""
    return [f"{name}=={version(name)}" for name in packages]


def _is_installed(name: str) -> bool:
    return any(distributions(name=name))


def check_installed(model: Path) -> None:
    """Refuse to load a model where a package that it needs is not installed.

    Args:
        model: The folder of the model in MLflow's format.

    Raises:
        ModelError: A package is missing, or the list of packages.
    """
    listed = model / REQUIREMENTS
    if not listed.is_file():
        raise ModelError(
            f"{listed} does not exist, so nobody knows which packages the model needs: restore the artifact store from "
            "a backup, or publish the model again"
        )
    names = [re.split(r"[^A-Za-z0-9._-]", line.strip(), maxsplit=1)[0] for line in listed.read_text().splitlines()]
    missing = [
        name for name in filter(None, names) if not any(map(_is_installed, BACKENDS if name in BACKENDS else [name]))
    ]
    if missing:
        raise ModelError(
            f"the model needs {', '.join(missing)}, which this environment lacks: run "
            f"`pip install -r {listed}`, or let `mlflow models predict` make an environment of its own"
        )


class Served(Protocol):
    """The interface that MLflow needs of a loaded model."""

    def predict(self, model_input: Any) -> Any:
        """Return the predictions for an input that fits the signature."""


class ServedImages:
    """A segmentation model that was registered when these took the array of an image instead of a table of folders."""

    def __init__(self, folder: ModelFolder) -> None:
        """Read the registered folder."""
        from brats_ml.models.segmentation import load_segmentation_model

        self._predict = load_segmentation_model(folder)

    def predict(self, model_input: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.uint8]]:
        """Return the canonical labels (X, Y, Z) of an `image` (modality, X, Y, Z)."""
        labels, _ = self._predict(model_input["image"])
        return {"labels": labels}


class ServedSurvival:
    """A registered survival model: an estimator with its scaler."""

    def __init__(self, folder: SurvivalFolder) -> None:
        """Read the registered folder."""
        from brats_ml.models.survival import SurvivalModel

        self._predict = SurvivalModel(folder)

    def predict(self, model_input: pd.DataFrame) -> pd.DataFrame:
        """Return a prediction for each row, as `SurvivalModel` does."""
        return self._predict(model_input)


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> Served:
    folder = Path(path)
    model = folder.parents[1]  # MLflow's format: MLmodel is two folders above the model's own folder
    described = Model.load(str(model))
    metadata = described.metadata or {}
    if DIGESTS in metadata:  # older models have none
        verify(folder, metadata[DIGESTS], name="the registered model")
    check_installed(model)
    if not ModelFolder(folder).recipe.path.exists():
        return ServedSurvival(SurvivalFolder(folder))
    if not model_config:
        return ServedImages(ModelFolder(folder))
    from brats_ml.models.served_cases import ServedCases

    registered, settings = _version(model, described), serving(model_config)
    survival = None if settings.survival is None else _survival(settings.survival, registered)
    return ServedCases(ModelFolder(folder), registered, settings, survival)


def _survival(address: str, segmentation: Version) -> "ServedWith":
    """Return the survival model at an address of MLflow, or why the segmentation model must not be used with it.

    Raises:
        ModelError: There is no survival model at this address, or its files are not what was registered.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    from brats_ml.models.compatibility import incompatibility
    from brats_ml.models.served_cases import ServedWith
    from brats_ml.models.survival import SurvivalModel

    try:
        model = Path(mlflow.artifacts.download_artifacts(address))
        described = Model.load(str(model))
    except (MlflowException, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"there is no survival model at {address} ({first}): correct `survival` in model_config"
        ) from error
    found = [folder for folder in sorted((model / "data").glob("*")) if SurvivalFolder(folder).estimator.path.exists()]
    if len(found) != 1:
        raise ModelError(f"{address} is no survival model of brats: correct `survival` in model_config")
    version = _version(model, described)
    if version.digests is not None:
        verify(found[0], version.digests, name=str(version))
    reason = incompatibility(version, segmentation)
    if reason is None and version.synthetic != segmentation.synthetic:
        reason = f"one of {version} and {segmentation} learnt from synthetic patients, and the other from real ones"
    return ServedWith(reason=reason) if reason else ServedWith(version, SurvivalModel(SurvivalFolder(found[0])))


def serving(model_config: Mapping[str, Any]) -> "Serving":
    """Return the settings of a served segmentation model.

    Raises:
        ConfigError: A key has a value that it cannot have.
    """
    from pydantic import ValidationError

    from brats_ml.config.sentences import explain
    from brats_ml.models.served_cases import Serving

    try:
        return Serving.model_validate(dict(model_config))
    except ValidationError as error:
        key, reason = explain(error, Serving, dict(model_config))
        raise ConfigError(f"{key} in model_config: {reason}", key=key) from error


def _version(model: Path, described: Model) -> Version:
    """Return the version of a folder in MLflow's format; its number is 0 where it was not loaded by `models:/`."""
    metadata: dict[str, Any] = described.metadata or {}
    copied = model / REGISTERED
    stated = dict(
        line.split(": ", 1) for line in (copied.read_text().splitlines() if copied.is_file() else []) if ": " in line
    )
    number = stated.get("model_version", "0").strip("'\"")
    return Version(
        name=str(metadata.get(NAME)),
        number=int(number) if number.isdecimal() else 0,
        run_id=str(described.run_id),
        tags={name: text for name, text in metadata.items() if isinstance(text, str)},
        digests=metadata.get(DIGESTS),
    )
