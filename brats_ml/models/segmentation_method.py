"""What models of every method share: networks read once, checked, run and counted."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LabelMap
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.errors import ModelError
from brats_ml.models.folder import check_labels, network_files
from brats_ml.models.runtime import LoadedNetwork, chosen_runtime, load_network
from brats_ml.segmentation.inference.sliding_window import Axes
from brats_ml.workspace.outputs import ModelFolder
from brats_ml.workspace.state import GraphCache


class SegmentationModel(ABC):
    """A trained recipe, read from its folder once and used for many cases; the mean of several folds predicts.

    Attributes:
        outputs: What the network gives for a voxel.
        own_scores: Names of the scores that only this method has.
        preset: Name of the preset, None for a method without presets.
        windows: Sizes of the inputs that the network sees, in voxels.
        runtime: `keras` or `openvino`.
        passes: How often the network has run so far, in patches or slices.
        cases: How many cases it has labelled so far.
        seconds: How long these took.
    """

    outputs: ClassVar[Sequence[str]]
    own_scores: ClassVar[Sequence[str]] = ()
    preset: str | None = None

    def __init__(
        self,
        folder: ModelFolder,
        *,
        windows: Sequence[Axes],
        channels: int,
        runtime: str = "auto",
        precision: str = "float32",
        graphs: GraphCache | None = None,
    ) -> None:
        """Read the networks of a folder.

        Args:
            folder: The trained recipe.
            windows: Sizes of the inputs that the network will see.
            channels: Channels of the input that the recipe asks for.
            runtime: `auto`, `keras` or `openvino`.
            precision: `float32`, `bfloat16` or `auto`; OpenVINO only.
            graphs: Keeps graphs that are exported for OpenVINO.

        Raises:
            ModelError: A network cannot be loaded in safe mode, or does not fit the recipe.
            MissingInputError: A file of the folder is missing.
        """
        check_labels(folder)
        self.windows = list(windows)
        self.runtime = chosen_runtime(runtime)
        self.passes, self.cases, self.seconds = 0, 0, 0.0
        self._networks = [
            load_network(path, extents=self.windows, runtime=self.runtime, precision=precision, graphs=graphs)
            for path in network_files(folder)
        ]
        self._asked = range(len(self._networks))
        for networks in self._networks:
            self._check_network(folder, networks[self.windows[0]], channels)

    @property
    @abstractmethod
    def modalities(self) -> Sequence[str]:
        """The modalities that the recipe reads."""

    @abstractmethod
    def predict(self, image: NDArray[Any]) -> tuple[LabelMap, NDArray[np.float32]]:
        """Return labels and probabilities of a checked image, as `__call__` does."""

    @abstractmethod
    def cost(self) -> str:
        """Return in words what a case of typical size will cost."""

    def tune(self, **cases: Any) -> dict[str, Any] | None:
        """Choose rules of postprocessing on training cases, as `tune_postprocessing` does; None without such rules."""
        return None

    def scores(self, reference: LabelMap, probabilities: NDArray[np.float32]) -> dict[str, float]:
        """Return the scores that only this method has, by the names in `own_scores`."""
        return {}

    def __call__(self, image: NDArray[Any]) -> tuple[LabelMap, NDArray[np.float32]]:
        """Return the labels of a full canonical image (modality, X, Y, Z), and the probabilities behind them.

        Returns:
            Canonical labels (X, Y, Z); probabilities (slice, size, size, class) by the baseline method,
            (region, X, Y, Z) by regions.

        Raises:
            ModelError: The image lacks a modality that the recipe needs.
        """
        self._check_image(image)
        begun = time.perf_counter()
        labels, probabilities = self.predict(image)
        self.cases, self.seconds = self.cases + 1, self.seconds + time.perf_counter() - begun
        return labels, probabilities

    @property
    def output_shape(self) -> tuple[Any, ...]:
        """Shape of the network's output for the first size of windows."""
        return self._networks[0][self.windows[0]].output_shape

    def predict_on_batch(self, x: NDArray[np.float32]) -> Any:
        """Return the network's output for a batch of inputs, or the mean over folds, and count the inputs."""
        self.passes += len(x) * len(self._asked)
        extent = x.shape[1:-1]
        given = [np.asarray(self._networks[fold][extent].predict_on_batch(x)) for fold in self._asked]
        return given[0] if len(given) == 1 else np.mean(given, axis=0)

    @contextmanager
    def only(self, fold: int | None) -> Iterator[None]:
        """Let the network of one fold predict alone; None leaves all of them in use."""
        if fold is not None:
            self._asked = range(fold, fold + 1)
        try:
            yield
        finally:
            self._asked = range(len(self._networks))

    def spent(self) -> str:
        """Return in words what the cases so far have cost."""
        how = f"preset {self.preset} by {self.runtime}" if self.preset else f"by {self.runtime}"
        if not self.cases:
            return how
        return f"{how}, {self.passes / self.cases:.0f} passes and {self.seconds / self.cases:.1f} s a case"

    def _check_network(self, folder: ModelFolder, network: LoadedNetwork, channels: int) -> None:
        given = network.output_shape[-1]
        if given != len(self.outputs):
            raise ModelError(
                f"{folder} has a network with {given} outputs a voxel, but {', '.join(self.outputs)} need "
                f"{len(self.outputs)}: it was trained for another label scheme; train it again"
            )
        if network.input_shape[-1] != channels:
            raise ModelError(
                f"{folder} has a network of {network.input_shape[-1]} input channels, but its recipe.json asks for "
                f"{channels}: they come from two trainings; train it again"
            )

    def _check_image(self, image: NDArray[Any]) -> None:
        if len(image) != len(MODALITIES):
            raise ModelError(f"the image has {len(image)} modalities, but the model needs {', '.join(MODALITIES)}")
        missing = [name for name in self.modalities if not image[MODALITIES.index(name)].any()]
        if missing:
            raise ModelError(f"the image has no {', '.join(missing)}, which the model was trained on and needs")
