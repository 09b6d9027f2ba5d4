"""A trained recipe of the method of regions, which predicts overlapping windows at full resolution."""

import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LabelMap, region_mask
from brats_ml.config.recipes import RegionsRecipe
from brats_ml.errors import ConfigError
from brats_ml.models.folder import read_label_set, read_rules, stated_inference
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.models.tuning import tune_postprocessing
from brats_ml.segmentation.inference.postprocessing import Rules, apply_rules
from brats_ml.segmentation.inference.presets import PRESETS, format_window
from brats_ml.segmentation.inference.regions import predict_regions
from brats_ml.segmentation.inference.sliding_window import Axes
from brats_ml.workspace.outputs import ModelFolder


class RegionProbabilities(SegmentationModel):
    """A model of the probabilities of regions at native resolution, with rules that turn them into labels.

    Attributes:
        rules: The rules that turn the probabilities of regions into labels.
    """

    rules: Rules

    @abstractmethod
    def probabilities(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probabilities of the regions, shape (region, X, Y, Z), of an image (modality, X, Y, Z)."""

    @property
    def outputs(self) -> Sequence[str]:
        """The regions of the label set."""
        return tuple(self.label_set.regions)

    def predict(self, image: NDArray[Any], *, voxel_ml: float) -> tuple[LabelMap, NDArray[np.float32]]:
        """Return labels (X, Y, Z) and probabilities (region, X, Y, Z)."""
        probabilities = self.probabilities(image)
        labels, self.removed = apply_rules(probabilities, self.rules, voxel_ml)
        return labels, probabilities

    def region_probabilities(
        self, labels: LabelMap, probabilities: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the probabilities as they are, and the regions of the labels."""
        return probabilities, self.region_targets(labels)

    def region_targets(self, reference: LabelMap) -> NDArray[np.bool_]:
        """Return the regions of a label map (X, Y, Z)."""
        return np.stack([region_mask(reference, region) for region in self.outputs])

    def full_probabilities(
        self, probabilities: NDArray[np.float32], *, full_shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """Return the probabilities as they are: the network predicts regions at native resolution."""
        return probabilities

    def tune(self, **cases: Any) -> dict[str, Any]:
        """Choose the rules on unseen cases, as `tune_postprocessing` does, and use them from now on."""
        return tune_postprocessing(self, **cases)


class RegionsModel(RegionProbabilities):
    """A network of patches, with a preset of windows."""

    def __init__(
        self,
        folder: ModelFolder,
        recipe: RegionsRecipe,
        *,
        preset: str | None = None,
        window: Sequence[int] | None = None,
        runtime: str = "auto",
        **networks: Any,
    ) -> None:
        """Read the networks and rules of a folder.

        Args:
            folder: The trained recipe.
            recipe: Its recipe, with patch, batch and filters set.
            preset: One of `PRESETS`, or None for the preset in inference.json, or `balanced` if there is no such file.
            window: The voxels that the network sees at once. None means the windows in inference.json if that names
                this preset, and otherwise the windows of the preset.
            runtime: `auto`, `keras` or `openvino`.
            networks: The arguments `precision` and `graphs` of `SegmentationModel`.
        """
        self.recipe = recipe
        self.rules = read_rules(folder, read_label_set(folder))
        stated = stated_inference(folder)
        self.preset = chosen = preset or str(stated["preset"])
        requested = [window] if window else stated["windows"] if chosen == stated["preset"] else None
        super().__init__(folder, windows=_windows(recipe, chosen, requested), runtime=runtime)
        self._load_networks(channels=recipe.channels, **networks)
        self._preset = PRESETS[chosen]

    @property
    def modalities(self) -> Sequence[str]:
        """The modalities that the recipe reads."""
        return self.recipe.modalities

    @property
    def knows_missing(self) -> bool:
        """Whether the recipe dropped modalities in training."""
        return self.recipe.augmentation.drop_modalities > 0

    def probabilities(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probabilities of the regions, shape (region, X, Y, Z), of an image (modality, X, Y, Z)."""
        probabilities, self.disagreement = predict_regions(
            self,
            image,
            modalities=self.recipe.modalities,
            contralateral=self.recipe.contralateral,
            windows=self.windows,
            neighbours=self.recipe.neighbours,
            preset=self._preset,
            regions=len(self.outputs),
        )
        return probabilities

    def cost(self) -> str:
        """Return in words what a case of typical size will cost, after timing one pass of each window."""
        copies = len(self._preset.mirrors(len(self.windows[0])))
        times = "once" if copies == 1 else f"in {copies} mirrored copies"
        passes = [self._preset.passes(window) for window in self.windows]
        seconds = sum(
            count * self._seconds_per_pass(window) for count, window in zip(passes, self.windows, strict=True)
        )
        sizes = " and ".join(
            f"{count // copies} windows of {format_window(window)}"
            for count, window in zip(passes, self.windows, strict=True)
        )
        return (
            f"preset {self.preset} by {self.runtime}: {sizes}, each seen {times}, give "
            f"{sum(passes)} passes for a typical brain, about {seconds:.1f} s"
        )

    def _seconds_per_pass(self, window: Axes) -> float:
        """Return the seconds of a second pass, since the first one also prepares the network."""
        patch = np.zeros((1, *window, self.recipe.channels), dtype=np.float32)
        seconds, counted = [], self.passes
        for _ in range(2):
            begun = time.perf_counter()
            self.predict_on_batch(patch)
            seconds.append(time.perf_counter() - begun)
        self.passes = counted
        return seconds[-1]


def _windows(recipe: RegionsRecipe, preset: str, requested: Sequence[Sequence[int]] | None) -> list[Axes]:
    patch, step = recipe.patch or (), recipe.stride
    if requested is None:
        return PRESETS[preset].windows(patch, step)
    for window in requested:
        if len(window) != len(patch) or any(length % step for length in window):
            raise ConfigError(
                f"evaluate.window is {format_window(window)}, but this network needs {len(patch)} axes, "
                f"each a multiple of {step}",
                key="evaluate.window",
            )
    return [tuple(window) for window in requested]
