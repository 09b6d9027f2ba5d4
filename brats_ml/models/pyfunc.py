"""Serve registered models through MLflow's pyfunc interface.

MLflow calls `_load_pyfunc` with the registered folder.
"""

from collections.abc import Sequence
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array
from numpy.typing import NDArray

from brats_ml.adapters.tracking.registry import verify
from brats_ml.adapters.tracking.version import DIGESTS
from brats_ml.cohort.clinical import GROUPS
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.survival.features import AGE
from brats_ml.workspace.outputs import ModelFolder, SurvivalFolder

# The model takes the full canonical volumes of one case, and returns the canonical label map.
SEGMENTATION_SIGNATURE = ModelSignature(
    inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, -1, -1, -1), "image")]),
    outputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, -1, -1), "labels")]),
)
SEGMENTATION_EXAMPLE = {"image": np.ones((len(MODALITIES), 8, 8, 2), dtype=np.float32)}


def survival_interface(features: Sequence[str], *, timed: bool) -> tuple[ModelSignature, pd.DataFrame]:
    """Return the signature and an example input of a survival model that reads `features`.

    Args:
        features: The columns that the model reads.
        timed: Whether the model returns survival curves.
    """
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


def requirements(*more: str) -> list[str]:
    """Return the packages that a registered model needs, and `more`, at the versions installed here."""
    wanted = ("keras", "nibabel", "numpy", "pandas", "pydantic", "ruamel.yaml", "scikit-learn", "scipy", "skops")
    backend = "tensorflow-cpu" if any(distributions(name="tensorflow-cpu")) else "tensorflow"
    return [f"{name}=={version(name)}" for name in (*wanted, *more, backend)]


class Served(Protocol):
    """The interface that MLflow needs of a loaded model."""

    def predict(self, model_input: Any) -> Any:
        """Return the predictions for an input that fits the signature."""


class ServedSegmentation:
    """A registered segmentation model: the whole inference path of a recipe."""

    def __init__(self, folder: ModelFolder) -> None:
        """Read the registered folder."""
        from brats_ml.models.segmentation import load_segmentation_model

        self._predict = load_segmentation_model(folder)

    def predict(self, model_input: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.uint8]]:
        """Return the canonical labels (X, Y, Z) of an `image` (modality, X, Y, Z)."""
        image = model_input["image"]
        labels, _ = self._predict(image)
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


def _load_pyfunc(path: str) -> Served:
    folder = ModelFolder(Path(path))
    # MLflow's format: MLmodel is two folders above the model's own folder.
    metadata = Model.load(str(folder.path.parents[1])).metadata or {}
    if DIGESTS in metadata:  # older models have none
        verify(folder.path, metadata[DIGESTS], name="the registered model")
    return ServedSegmentation(folder) if folder.recipe.path.exists() else ServedSurvival(SurvivalFolder(folder.path))
