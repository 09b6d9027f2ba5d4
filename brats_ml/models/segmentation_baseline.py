"""A trained recipe of the baseline method, which labels resized axial slices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LABELS, REGIONS, LabelMap
from brats_ml.config.recipes import BaselineRecipe
from brats_ml.imaging.metrics.baseline import BASELINE_SCORES, baseline_scores
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.segmentation.inference.baseline import predict_labels
from brats_ml.segmentation.slices import native_probabilities, slice_targets
from brats_ml.workspace.outputs import ModelFolder


class BaselineModel(SegmentationModel):
    """A network of slices, which has no presets and no rules of postprocessing."""

    outputs = ("background", *LABELS)
    own_scores = tuple(BASELINE_SCORES)

    def __init__(self, folder: ModelFolder, recipe: BaselineRecipe, **runtime: Any) -> None:
        """Read the networks of a folder.

        Args:
            folder: The trained recipe.
            recipe: Its recipe.
            runtime: The arguments `runtime`, `precision` and `graphs` of `SegmentationModel`.
        """
        self.recipe = recipe
        super().__init__(folder, windows=[(recipe.size, recipe.size)], channels=recipe.channels, **runtime)

    @property
    def modalities(self) -> Sequence[str]:
        """The modalities that the recipe reads."""
        return self.recipe.modalities

    def predict(self, image: NDArray[Any], *, voxel_ml: float) -> tuple[LabelMap, NDArray[np.float32]]:
        """Return labels (X, Y, Z) and probabilities (slice, size, size, class)."""
        return predict_labels(self, image, modalities=self.recipe.modalities, **self._slices())

    def region_probabilities(
        self, probabilities: NDArray[np.float32], *, full_shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """Return the sum of the probabilities of each region's labels, resized to the slices of the case."""
        rows, columns, depth = full_shape
        slices = self.recipe.slices
        sums = [probabilities[..., [LABELS[label] for label in labels]].sum(axis=-1) for labels in REGIONS.values()]
        return np.stack(
            [
                native_probabilities(share, full_shape=(rows, columns, depth), first=slices.first, count=slices.count)
                for share in sums
            ]
        )

    def cost(self) -> str:
        """Return in words what a case will cost."""
        return f"{self.runtime}, one pass per slice"

    def scores(self, reference: LabelMap, probabilities: NDArray[np.float32]) -> dict[str, float]:
        """Return the baseline's own scores of a case, by its own formulas."""
        return baseline_scores(slice_targets(reference, **self._slices()), probabilities)

    def _slices(self) -> dict[str, Any]:
        recipe = self.recipe
        return {"size": recipe.size, "first": recipe.slices.first, "count": recipe.slices.count}
