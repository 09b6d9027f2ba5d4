"""A trained recipe as one call: the same in evaluation, gate, scoring and serving."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from brats_ml.adapters import files
from brats_ml.adapters.keras_files import read_model
from brats_ml.cohort.labels import LabelMap
from brats_ml.config.recipes import SeedRecipe
from brats_ml.segmentation.inference import predict_labels


class SegmentationModel:
    """A trained recipe, read from its folder once and used for many cases."""

    def __init__(self, folder: Path) -> None:
        """Read model.keras and recipe.json.

        Raises:
            ModelError: The model cannot be loaded in safe mode.
            MissingInputError: A file of the two is not there.
        """
        self.recipe = SeedRecipe.model_validate(files.read_json(folder / "recipe.json", made_by="brats train"))
        self.model: keras.Model = read_model(files.require(folder / "model.keras", made_by="brats train"))

    @property
    def view(self) -> dict[str, Any]:
        """The slices that the recipe sees, as keyword arguments."""
        return {"size": self.recipe.size, "first": self.recipe.slices.first, "count": self.recipe.slices.count}

    def __call__(self, image: NDArray[Any]) -> tuple[LabelMap, NDArray[np.float32]]:
        """Return labels (X, Y, Z) and slice probabilities of a full canonical image (modality, X, Y, Z)."""
        return predict_labels(self.model, image, modalities=self.recipe.modalities, **self.view)
