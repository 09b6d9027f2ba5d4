"""A trained recipe as one call: the same in evaluation, gate, scoring and serving."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import CLASSES, LABELS, REGIONS, LabelMap
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.config import Params
from brats_ml.config.recipes import BaselineRecipe, RegionsRecipe
from brats_ml.errors import ConfigError, ModelError
from brats_ml.models.folder import check_labels, network_files, read_recipe, read_rules, stated_inference
from brats_ml.models.runtime import LoadedNetwork, chosen_runtime, load_network
from brats_ml.segmentation.inference.baseline import predict_labels
from brats_ml.segmentation.inference.postprocessing import labels_from_regions
from brats_ml.segmentation.inference.presets import PRESETS, format_window
from brats_ml.segmentation.inference.regions import predict_regions
from brats_ml.segmentation.inference.sliding_window import Axes
from brats_ml.workspace import Workspace


class SegmentationModel:
    """A trained recipe, read from its folder once and used for many cases; of several folds the mean predicts.

    Attributes:
        recipe: What it was trained by.
        rules: How probabilities of regions become labels.
        preset: Name of the preset, None for the baseline's method, which has none.
        windows: Sizes of windows that are averaged, each of the voxels that the network sees at once.
        runtime: `keras` or `openvino`.
        passes: How often the network has run so far, in patches or slices.
        cases: How many cases it has labelled so far.
        seconds: That these took.
    """

    def __init__(
        self,
        folder: Path,
        *,
        preset: str | None = None,
        window: Sequence[int] | None = None,
        runtime: str = "auto",
        precision: str = "float32",
        graphs: Path | None = None,
    ) -> None:
        """Read model.keras, recipe.json and, where they are, postprocessing.json, labels.json and inference.json.

        Args:
            folder: Of the trained recipe.
            preset: One of `PRESETS`; by default the one that inference.json states, or else `balanced`.
            window: Voxels that the network sees at once; by default the windows of inference.json if that states this
                preset, or else those of the preset.
            runtime: `auto`, `keras` or `openvino`.
            precision: Of OpenVINO: `float32`, `bfloat16` or `auto`.
            graphs: Folder in which graphs exported for OpenVINO are kept.

        Raises:
            ModelError: The model cannot be loaded in safe mode, or is no network of this recipe.
            MissingInputError: model.keras or recipe.json is not there.
        """
        self.recipe = read_recipe(folder)
        check_labels(folder)
        self.rules = read_rules(folder)
        stated = stated_inference(folder)
        self.preset = (preset or stated["preset"]) if isinstance(self.recipe, RegionsRecipe) else None
        asked = [window] if window else stated["windows"] if self.preset == stated["preset"] else None
        self.windows = _windows(self.recipe, self.preset, asked)
        self.runtime = chosen_runtime(runtime)
        self.passes, self.cases, self.seconds = 0, 0, 0.0
        self._networks = [
            load_network(path, extents=self.windows, runtime=self.runtime, precision=precision, graphs=graphs)
            for path in network_files(folder)
        ]
        self._asked = range(len(self._networks))
        for networks in self._networks:
            self._check_network(folder, networks[self.windows[0]])

    @property
    def output_shape(self) -> tuple[Any, ...]:
        """Shape of what the network gives for the first size of windows."""
        return self._networks[0][self.windows[0]].output_shape

    def predict_on_batch(self, x: NDArray[np.float32]) -> Any:
        """Return what the network gives for a batch of inputs, or several on average, and count them."""
        self.passes += len(x) * len(self._asked)
        extent = x.shape[1:-1]
        given = [np.asarray(self._networks[fold][extent].predict_on_batch(x)) for fold in self._asked]
        return given[0] if len(given) == 1 else np.mean(given, axis=0)

    @contextmanager
    def only(self, fold: int | None) -> Iterator[None]:
        """Let the network of one fold answer alone; None: all of them, as ever."""
        if fold is not None:
            self._asked = range(fold, fold + 1)
        try:
            yield
        finally:
            self._asked = range(len(self._networks))

    @property
    def view(self) -> dict[str, Any]:
        """The slices that the baseline's method sees, as keyword arguments."""
        if not isinstance(self.recipe, BaselineRecipe):
            raise TypeError("only recipes of the baseline's method look at resized slices")
        return {"size": self.recipe.size, "first": self.recipe.slices.first, "count": self.recipe.slices.count}

    def __call__(self, image: NDArray[Any]) -> tuple[LabelMap, NDArray[np.float32]]:
        """Return the labels of a full canonical image (modality, X, Y, Z), and the probabilities they are made from.

        Returns:
            Canonical labels (X, Y, Z); probabilities (slice, size, size, class) by the baseline's method,
            (region, X, Y, Z) by regions.

        Raises:
            ModelError: The image lacks a modality that the recipe needs.
        """
        self._check_image(image)
        begun = time.perf_counter()
        if isinstance(self.recipe, BaselineRecipe):
            labels, probabilities = predict_labels(self, image, modalities=self.recipe.modalities, **self.view)
        else:
            probabilities = self.probabilities(image)
            labels = labels_from_regions(probabilities, self.rules)
        self.cases, self.seconds = self.cases + 1, self.seconds + time.perf_counter() - begun
        return labels, probabilities

    def probabilities(self, image: NDArray[Any]) -> NDArray[np.float32]:
        """Return the probabilities of the regions, shape (region, X, Y, Z), of an image (modality, X, Y, Z).

        Raises:
            ModelError: The recipe has no regions.
        """
        if not isinstance(self.recipe, RegionsRecipe):
            raise ModelError("a recipe of the baseline's method gives labels, not regions")
        return predict_regions(
            self,
            image,
            modalities=self.recipe.modalities,
            contralateral=self.recipe.contralateral,
            windows=self.windows,
            neighbours=self.recipe.neighbours,
            preset=PRESETS[str(self.preset)],
        )

    def cost(self) -> str:
        """Return what a case will cost, in words, for a brain of typical size; one pass is timed for it."""
        if not isinstance(self.recipe, RegionsRecipe):
            return f"{self.runtime}, one pass a slice"
        preset = PRESETS[str(self.preset)]
        copies = len(preset.mirrors(len(self.windows[0])))
        times = "once" if copies == 1 else f"in {copies} mirrored copies"
        passes = [preset.passes(window) for window in self.windows]
        seconds = sum(count * self._seconds_a_pass(window) for count, window in zip(passes, self.windows, strict=True))
        sizes = " and ".join(
            f"{count // copies} windows of {format_window(window)}"
            for count, window in zip(passes, self.windows, strict=True)
        )
        return (
            f"preset {self.preset} by {self.runtime}: {sizes}, each seen {times} = "
            f"{sum(passes)} passes for a typical brain, about {seconds:.1f} s"
        )

    def _seconds_a_pass(self, window: Axes) -> float:
        """Return the seconds of one pass; the first one prepares what the others find ready, and is left out."""
        patch = np.zeros((1, *window, self.recipe.channels), dtype=np.float32)
        seconds, counted = [], self.passes
        for _ in range(2):
            begun = time.perf_counter()
            self.predict_on_batch(patch)
            seconds.append(time.perf_counter() - begun)
        self.passes = counted
        return seconds[-1]

    def spent(self) -> str:
        """Return what the cases so far have cost, in words."""
        how = f"preset {self.preset} by {self.runtime}" if self.preset else f"by {self.runtime}"
        if not self.cases:
            return how
        return f"{how}, {self.passes / self.cases:.0f} passes and {self.seconds / self.cases:.1f} s a case"

    def _check_network(self, folder: Path, network: LoadedNetwork) -> None:
        regions = isinstance(self.recipe, RegionsRecipe)
        wanted = len(REGIONS) if regions else CLASSES
        given = network.output_shape[-1]
        if given != wanted:
            what = f"regions {', '.join(REGIONS)}" if regions else f"background, {', '.join(LABELS)}"
            raise ModelError(
                f"{folder} has a network that gives {given} values a voxel, and {what} are {wanted}: "
                "it was trained for another label scheme; train it again"
            )
        if network.input_shape[-1] != self.recipe.channels:
            raise ModelError(
                f"{folder} has a network of {network.input_shape[-1]} input channels, and its recipe.json asks for "
                f"{self.recipe.channels}: they are not of one training; train it again"
            )

    def _check_image(self, image: NDArray[Any]) -> None:
        if len(image) != len(MODALITIES):
            raise ModelError(f"the image has {len(image)} modalities, the model wants {', '.join(MODALITIES)}")
        missing = [name for name in self.recipe.modalities if not image[MODALITIES.index(name)].any()]
        if missing:
            raise ModelError(f"the image has no {', '.join(missing)}, which the model was trained on and needs")


def segmentation_model(
    ws: Workspace,
    params: Params,
    folder: Path,
    *,
    preset: str | None = None,
    window: Sequence[int] | None = None,
) -> SegmentationModel:
    """Return a trained recipe in the runtime and precision of the parameters; preset and windows default to its own.

    Raises:
        ModelError: The model cannot be loaded in safe mode, or is no network of its recipe.
        MissingInputError: model.keras or recipe.json is not there.
    """
    chosen = params.evaluate
    return SegmentationModel(
        folder,
        preset=preset,
        window=window,
        runtime=chosen.runtime,
        precision=chosen.precision,
        graphs=ws.graphs,
    )


def _windows(
    recipe: BaselineRecipe | RegionsRecipe, preset: str | None, asked: Sequence[Sequence[int]] | None
) -> list[Axes]:
    if isinstance(recipe, BaselineRecipe):
        return [(recipe.size, recipe.size)]
    patch, step = recipe.patch or (), recipe.stride
    if asked is None:
        return PRESETS[str(preset)].windows(patch, step)
    for window in asked:
        if len(window) != len(patch) or any(length % step for length in window):
            raise ConfigError(
                f"evaluate.window is {format_window(window)}, and this network wants {len(patch)} axes, "
                f"each a multiple of {step}",
                key="evaluate.window",
            )
    return [tuple(window) for window in asked]
