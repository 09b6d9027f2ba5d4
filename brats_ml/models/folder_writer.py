"""Write the folder of a trained segmentation model, which `models.folder` reads."""

from collections.abc import Sequence
from typing import Any

import keras

from brats_ml import files
from brats_ml.adapters.model_files.keras_file import write_model
from brats_ml.cohort.labels import GLIOMA, LABEL_SETS, LabelSet
from brats_ml.config.recipes import BaselineRecipe, RegionsRecipe
from brats_ml.workspace.outputs import ModelFolder


def write_model_folder(
    folder: ModelFolder,
    networks: Sequence[keras.Model],
    recipe: BaselineRecipe | RegionsRecipe,
    verdict: dict[str, Any],
    label_set: LabelSet = LABEL_SETS[GLIOMA],
) -> None:
    """Write the folder of a trained recipe: its networks, its recipe, the labels and the verdict."""
    with files.replacing(folder) as unfinished:
        written = ModelFolder(unfinished)
        for network, file in zip(networks, written.networks(len(networks)), strict=True):
            write_model(file, network)
        files.write_json(written.recipe, recipe.model_dump())
        files.write_json(written.labels, label_set.to_dict())
        files.write_json(written.verdict, verdict)
