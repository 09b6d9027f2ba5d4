"""A trained recipe of the baseline method, which labels resized axial slices."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LabelMap
from brats_ml.config.recipes import BaselineRecipe
from brats_ml.imaging.metrics.baseline import BASELINE_SCORES, baseline_scores
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.segmentation.inference.baseline import predict_labels
from brats_ml.segmentation.slices import native_probabilities, slice_targets
from brats_ml.workspace.outputs import ModelFolder


class BaselineModel(SegmentationModel):
    """A network of slices, which has no presets and no rules of postprocessing."""

    own_scores = tuple(BASELINE_SCORES)

    def __init__(self, folder: ModelFolder, recipe: BaselineRecipe, *, runtime: str = "auto", **networks: Any) -> None:
        """Read the networks of a folder.

        Args:
            folder: The trained recipe.
            recipe: Its recipe.
            runtime: `auto`, `keras` or `openvino`.
            networks: The arguments `precision` and `graphs` of `SegmentationModel`.
        """
        self.recipe = recipe
        super().__init__(folder, windows=[(recipe.size, recipe.size)], runtime=runtime)
        self._load_networks(channels=recipe.channels, **networks)
        self._square_sums = np.zeros((2, len(self.label_set.regions)))

    @property
    def outputs(self) -> Sequence[str]:
        """The background and the labels of the label set."""
        return ("background", *self.label_set.labels)

    @property
    def modalities(self) -> Sequence[str]:
        """The modalities that the recipe reads."""
        return self.recipe.modalities

    def predict(self, image: NDArray[Any], *, voxel_ml: float) -> tuple[LabelMap, NDArray[np.float32]]:
        """Return labels (X, Y, Z) and probabilities (slice, size, size, class)."""
        self._square_sums = np.zeros((2, len(self.label_set.regions)))
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
        of_networks = np.mean([self._squares(output) for output in outputs], axis=0)
        self._square_sums += np.stack([self._squares(mean), of_networks])
        return mean

    def region_probabilities(
        self, labels: LabelMap, probabilities: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the probabilities of the regions and the likeliest labels, both on the slices of the network."""
        return np.stack(self._region_sums(probabilities)), self._masks(probabilities)

    def region_targets(self, reference: LabelMap) -> NDArray[np.bool_]:
        """Return the regions of the likeliest labels on the slices of the network."""
        return self._masks(slice_targets(reference, **self._slices()))

    def full_probabilities(
        self, probabilities: NDArray[np.float32], *, full_shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """Return the sum of the probabilities of each region's labels, resized to the slices of the case."""
        rows, columns, depth = full_shape
        slices = self.recipe.slices
        sums = [probabilities[..., classes].sum(axis=-1) for classes in self._classes()]
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
        recipe, values = self.recipe, tuple(self.label_set.labels.values())
        return {
            "size": recipe.size,
            "first": recipe.slices.first,
            "count": recipe.slices.count,
            "values": values,
        }

    def _classes(self) -> list[list[int]]:
        """Return the places of each region's labels among the outputs."""
        return [[self.outputs.index(label) for label in labels] for labels in self.label_set.regions.values()]

    def _region_sums(self, probabilities: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the probability of each region, shape (slice, size, size), from those of the classes."""
        return [sum(probabilities[..., place] for place in places) for places in self._classes()]  # type: ignore[misc]

    def _squares(self, probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the sum of the squared probabilities of each region."""
        sums = np.stack(self._region_sums(probabilities))
        return np.asarray(np.square(sums, dtype=np.float64).sum(axis=(1, 2, 3)))

    def _masks(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return the mask of each region, shape (region, slice, size, size), in the likeliest classes."""
        likeliest = probabilities.argmax(axis=-1)
        return np.stack([np.isin(likeliest, places) for places in self._classes()])
