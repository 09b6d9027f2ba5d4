"""A trained recipe of the baseline method, which labels resized axial slices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LABELS, REGIONS, LabelMap, region_mask
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
        self._square_sums = np.zeros((2, len(REGIONS)))
        super().__init__(folder, windows=[(recipe.size, recipe.size)], channels=recipe.channels, **runtime)

    @property
    def modalities(self) -> Sequence[str]:
        """The modalities that the recipe reads."""
        return self.recipe.modalities

    def predict(self, image: NDArray[Any], *, voxel_ml: float) -> tuple[LabelMap, NDArray[np.float32]]:
        """Return labels (X, Y, Z) and probabilities (slice, size, size, class)."""
        self._square_sums = np.zeros((2, len(REGIONS)))
        labels, probabilities = predict_labels(self, image, modalities=self.recipe.modalities, **self._slices())
        if len(self._active) > 1:
            of_mean, of_networks = self._square_sums
            self.disagreement = 1 - np.divide(of_mean, of_networks, out=np.ones_like(of_mean), where=of_networks > 0)
        return labels, probabilities

    def predict_on_batch(self, x: NDArray[np.float32]) -> Any:
        """Return the mean output as every method does, and add up the squares that the disagreement needs."""
        outputs = self.predict_each(x)
        if len(outputs) == 1:
            return outputs[0]
        mean = np.mean(outputs, axis=0)
        of_networks = np.mean([_squares(output) for output in outputs], axis=0)
        self._square_sums += np.stack([_squares(mean), of_networks])
        return mean

    def region_probabilities(
        self, labels: LabelMap, probabilities: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the probabilities of the regions and the likeliest labels, both on the slices of the network."""
        return _regions(probabilities), _masks(probabilities)

    def region_targets(self, reference: LabelMap) -> NDArray[np.bool_]:
        """Return the regions of the likeliest labels on the slices of the network."""
        return _masks(slice_targets(reference, **self._slices()))

    def full_probabilities(
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


def _regions(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of each region, shape (region, slice, size, size), from those of the classes."""
    return np.stack([sum(probabilities[..., LABELS[label]] for label in labels) for labels in REGIONS.values()])


def _squares(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the sum of the squared probabilities of each region."""
    return np.asarray(np.square(_regions(probabilities), dtype=np.float64).sum(axis=(1, 2, 3)))


def _masks(probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the mask of each region, shape (region, slice, size, size), in the likeliest classes."""
    likeliest = probabilities.argmax(axis=-1).astype(np.uint8)
    return np.stack([region_mask(likeliest, region) for region in REGIONS])
