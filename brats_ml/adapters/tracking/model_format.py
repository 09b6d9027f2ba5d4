"""The folder of a model in MLflow's format, with no pickled object in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LoggedModel
from mlflow.models import Model, ModelSignature

import brats_ml


def save_pyfunc(
    path: Path,
    logged: LoggedModel,
    *,
    run_id: str,
    folder: Path,
    metadata: Mapping[str, Any],
    loader: str,
    signature: ModelSignature,
    example: Any,
    requirements: list[str],
    config: Mapping[str, Any] | None = None,
) -> None:
    """Write a model's folder in MLflow's format.

    Args:
        path: The folder to write.
        logged: The model in MLflow.
        run_id: The run that trained it.
        folder: All files of the model.
        metadata: What MLmodel says of it, such as the digests of these files.
        loader: The module with `_load_pyfunc`.
        signature: The signature of input and output.
        example: An input that fits the signature.
        requirements: The packages that loading the model needs.
        config: Settings that the loader gets, and that who loads the model may override.
    """
    described = Model(artifact_path=logged.artifact_location, model_uuid=logged.model_id, model_id=logged.model_id)
    described.run_id = run_id
    mlflow.pyfunc.save_model(
        str(path),
        mlflow_model=described,
        loader_module=loader,
        data_path=str(folder),
        code_paths=[str(Path(brats_ml.__file__).parent)],
        signature=signature,
        input_example=example,
        pip_requirements=requirements,
        metadata=dict(metadata),
        model_config=None if config is None else dict(config),
    )
