"""Write the folder of a trained segmentation model, which `models.folder` reads."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from brats_ml import files
from brats_ml.adapters.model_files.keras_file import write_model
from brats_ml.cohort.labels import GLIOMA, LABEL_SETS, LabelSet
from brats_ml.config.recipes import EnsembleRecipe, Recipe
from brats_ml.workspace.outputs import ModelFolder


def write_model_folder(
    folder: ModelFolder,
    networks: Sequence[keras.Model] | Mapping[str, Sequence[keras.Model]],
    recipe: Recipe,
    verdict: dict[str, Any],
    label_set: LabelSet = LABEL_SETS[GLIOMA],
) -> None:
    """Write the folder of a trained recipe: its networks, its recipe, the labels and the verdict.

    Args:
        folder: The folder.
        networks: One network, or one per fold; of an ensemble these of each member.
        recipe: The recipe with every value resolved.
        verdict: The contents of verdict.json.
        label_set: The labels of the training.
    """
    with files.replacing(folder) as unfinished:
        written = ModelFolder(unfinished)
        if isinstance(recipe, EnsembleRecipe) and isinstance(networks, Mapping):
            for name, member in recipe.members.items():
                write_model_folder(written.member(name), networks[name], member, verdict, label_set)
        elif not isinstance(networks, Mapping):
            for network, file in zip(networks, written.networks(len(networks)), strict=True):
                write_model(file, network)
        files.write_json(written.recipe, recipe.model_dump())
        files.write_json(written.labels, label_set.to_dict())
        files.write_json(written.verdict, verdict)
