"""Load a trained recipe as one call, which evaluation, the gate, scoring and serving all use."""

from collections.abc import Sequence
from typing import Any

from brats_ml.config import Params
from brats_ml.config.recipes import BaselineRecipe, EnsembleRecipe
from brats_ml.models.folder import read_recipe
from brats_ml.models.segmentation_baseline import BaselineModel
from brats_ml.models.segmentation_ensemble import EnsembleModel
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.models.segmentation_regions import RegionsModel
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder


def load_segmentation_model(
    folder: ModelFolder, *, preset: str | None = None, window: Sequence[int] | None = None, **runtime: Any
) -> SegmentationModel:
    """Return the trained recipe of a folder.

    Args:
        folder: The trained recipe.
        preset: The preset of a region recipe, as in `RegionsModel`. A baseline recipe ignores it.
        window: The window of a region recipe, as in `RegionsModel`. A baseline recipe ignores it, and an ensemble
            refuses it.
        runtime: The arguments `runtime`, `precision` and `graphs` of `SegmentationModel`.

    Raises:
        ModelError: A network cannot be loaded in safe mode, or does not fit its recipe.
        MissingInputError: A file of the folder is missing.
    """
    recipe = read_recipe(folder)
    if isinstance(recipe, BaselineRecipe):
        return BaselineModel(folder, recipe, **runtime)
    if isinstance(recipe, EnsembleRecipe):
        return EnsembleModel(folder, recipe, preset=preset, window=window, **runtime)
    return RegionsModel(folder, recipe, preset=preset, window=window, **runtime)


def segmentation_model(
    ws: Workspace,
    params: Params,
    folder: ModelFolder,
    *,
    preset: str | None = None,
    window: Sequence[int] | None = None,
) -> SegmentationModel:
    """Return a trained recipe in the runtime, precision and voxel size that the parameters set.

    Args:
        ws: The workspace.
        params: The parameters.
        folder: The trained recipe.
        preset: The preset of a region recipe, as in `RegionsModel`.
        window: The window of a region recipe, as in `RegionsModel`.

    Raises:
        ModelError: A network cannot be loaded in safe mode, or does not fit its recipe.
        MissingInputError: A file of the folder is missing.
    """
    model = load_segmentation_model(
        folder,
        preset=preset,
        window=window,
        runtime=params.evaluate.runtime,
        precision=params.evaluate.precision,
        graphs=ws.state.graphs,
    )
    model.spacing_mm = (params.validate_.spacing_mm,) * 3
    return model
