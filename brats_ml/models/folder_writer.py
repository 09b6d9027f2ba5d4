"""Write the folder of a trained segmentation model, which `model_folder` reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from brats_ml import files
from brats_ml.adapters.model_files import checkpoints
from brats_ml.adapters.model_files.keras_file import write_model
from brats_ml.adapters.tables import frames
from brats_ml.cohort.labels import label_scheme
from brats_ml.config.recipes import BaselineRecipe, RegionsRecipe
from brats_ml.workspace import network_names


def write_model_folder(
    folder: Path,
    networks: Sequence[keras.Model],
    history: checkpoints.History,
    recipe: BaselineRecipe | RegionsRecipe,
    verdict: dict[str, Any],
) -> None:
    """Write the folder of a trained recipe: everything that predicting with it needs, and how it came to be."""
    with files.replacing(folder) as unfinished:
        for network, name in zip(networks, network_names(len(networks)), strict=True):
            write_model(unfinished / name, network)
        files.write_json(unfinished / "recipe.json", recipe.model_dump())
        files.write_json(unfinished / "labels.json", label_scheme())
        # A history read back from a checkpoint has its columns in another order.
        frames.write_csv(unfinished / "history.csv", pd.DataFrame(history).sort_index(axis="columns"))
        files.write_json(unfinished / "verdict.json", verdict)
