"""The base class of trained recipes: it reads the networks, checks them, runs them and counts the passes."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LabelMap
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.errors import ModelError
from brats_ml.models.calibration import read_calibration
from brats_ml.models.folder import network_files, read_label_set
from brats_ml.models.runtime import LoadedNetwork, chosen_runtime, load_network
from brats_ml.segmentation.inference.postprocessing import Removed
from brats_ml.segmentation.inference.sliding_window import Axes
from brats_ml.workspace.outputs import ModelFolder
from brats_ml.workspace.state import GraphCache


class SegmentationModel(ABC):
    """A trained recipe that is read from its folder once and predicts many cases.

    A recipe that was trained in folds has one network per fold. The prediction is the mean of their outputs.

    Attributes:
        folder: The trained recipe.
        label_set: The labels and regions that the model predicts.
        own_scores: The names of the scores that only this method has.
        preset: The name of the preset, or None for a method without presets.
        windows: The sizes of the inputs that the network sees, in voxels.
        runtime: `keras` or `openvino`.
        passes: The number of patches or slices that the networks have processed so far.
        cases: The number of cases predicted so far.
        seconds: The seconds that these cases took.
        spacing_mm: The voxel size of a case that states none; BraTS has 1 mm.
        removed: What postprocessing removed from the last case, largest piece first.
        calibration: What its training left to judge its predictions by, None for a model without qc.json.
        disagreement: By how much the predictions of each region behind the last one differ, None if there was but one.
    """

    own_scores: ClassVar[Sequence[str]] = ()
    preset: str | None = None
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0)

    def __init__(self, folder: ModelFolder, *, windows: Sequence[Axes], runtime: str = "auto") -> None:
        """Read what belongs to every trained recipe.

        Args:
            folder: The trained recipe.
            windows: The sizes of the inputs that the network will see.
            runtime: `auto`, `keras` or `openvino`.
        """
        self.label_set = read_label_set(folder)
        self.calibration = read_calibration(folder)
        self.folder = folder
        self.windows = list(windows)
        self.runtime = chosen_runtime(runtime)
        self.passes, self.cases, self.seconds = 0, 0, 0.0
        self.removed: list[Removed] = []
        self.disagreement: NDArray[np.float64] | None = None

    def _load_networks(self, *, channels: int, precision: str = "float32", graphs: GraphCache | None = None) -> None:
        """Read the networks of the folder.

        Args:
            channels: The input channels of the recipe.
            precision: `float32`, `bfloat16` or `auto`, for OpenVINO only.
            graphs: The cache of graphs that are exported for OpenVINO.

        Raises:
            ModelError: A network cannot be loaded in safe mode, or does not fit the recipe.
            MissingInputError: A file of the folder is missing.
        """
        self._networks = [
            load_network(path, extents=self.windows, runtime=self.runtime, precision=precision, graphs=graphs)
            for path in network_files(self.folder)
        ]
        self._active = range(len(self._networks))
        for networks in self._networks:
            self._check_network(self.folder, networks[self.windows[0]], channels)

    @property
    @abstractmethod
    def outputs(self) -> Sequence[str]:
        """The names of the network's outputs for a voxel."""

    @property
    @abstractmethod
    def modalities(self) -> Sequence[str]:
        """The modalities that the recipe reads."""

    @property
    def knows_missing(self) -> bool:
        """Whether the recipe dropped modalities in training, so that the model predicts cases that lack some."""
        return False

    def needed(self, images: Collection[str]) -> Sequence[str]:
        """Return the modalities that a case needs if it has `images`: all that the recipe reads, or any one of them."""
        present = [name for name in self.modalities if name in images]
        return present if self.knows_missing and present else self.modalities

    @abstractmethod
    def predict(self, image: NDArray[Any], *, voxel_ml: float) -> tuple[LabelMap, NDArray[np.float32]]:
        """Return labels and probabilities as `__call__` does, for an image that `__call__` has checked."""

    @abstractmethod
    def region_probabilities(
        self, labels: LabelMap, probabilities: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the probability of each region, and whether it is predicted, in each voxel that the network saw.

        Args:
            labels: The labels that `__call__` returned.
            probabilities: The probabilities that it returned.

        Returns:
            Both of shape (region, ...), in the order of the label set.
        """

    @abstractmethod
    def region_targets(self, reference: LabelMap) -> NDArray[np.bool_]:
        """Return the regions of a reference (X, Y, Z) in the voxels of `region_probabilities`."""

    @abstractmethod
    def full_probabilities(
        self, probabilities: NDArray[np.float32], *, full_shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """Return the probability of each region in each voxel.

        Args:
            probabilities: What `__call__` returned with the labels.
            full_shape: The shape of the labels.

        Returns:
            Shape (region, X, Y, Z) in the order of the label set.
        """

    @abstractmethod
    def cost(self) -> str:
        """Return in words what a case of typical size will cost."""

    def tune(self, **cases: Any) -> dict[str, Any] | None:
        """Choose rules of postprocessing on unseen cases, as `tune_postprocessing` does.

        Returns:
            The contents of postprocessing.json, or None for a method without such rules.
        """
        return None

    def scores(self, reference: LabelMap, probabilities: NDArray[np.float32]) -> dict[str, float]:
        """Return the scores in `own_scores`, which only this method has."""
        return {}

    def __call__(
        self, image: NDArray[Any], *, spacing_mm: Sequence[float] | None = None
    ) -> tuple[LabelMap, NDArray[np.float32]]:
        """Return the labels of a full canonical image (modality, X, Y, Z), and the probabilities behind them.

        Args:
            image: The image.
            spacing_mm: The voxel size along each axis; None means that of the model.

        Returns:
            Canonical labels (X, Y, Z) and probabilities. The latter have shape (slice, size, size, class) in the
            baseline method, and (region, X, Y, Z) in the method of regions.

        Raises:
            ModelError: The image lacks a modality that the recipe needs.
        """
        self._check_image(image)
        begun = time.perf_counter()
        self.removed, self.disagreement = [], None
        labels, probabilities = self.predict(image, voxel_ml=math.prod(spacing_mm or self.spacing_mm) / 1000)
        self.cases, self.seconds = self.cases + 1, self.seconds + time.perf_counter() - begun
        return labels, probabilities

    @property
    def output_shape(self) -> tuple[Any, ...]:
        """Shape of the network's output for the first window size."""
        return self._networks[0][self.windows[0]].output_shape

    def predict_on_batch(self, x: NDArray[np.float32]) -> Any:
        """Return the mean output of the active networks for a batch of inputs, and count the passes."""
        outputs = self.predict_each(x)
        return outputs[0] if len(outputs) == 1 else np.mean(outputs, axis=0)

    def predict_each(self, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Return the output of each active network for a batch of inputs, and count the passes."""
        self.passes += len(x) * len(self._active)
        extent = x.shape[1:-1]
        return [np.asarray(self._networks[fold][extent].predict_on_batch(x)) for fold in self._active]

    @contextmanager
    def only(self, fold: int | None) -> Iterator[None]:
        """Use only the network of one fold inside the context, or all networks if `fold` is None."""
        if fold is not None:
            self._active = range(fold, fold + 1)
        try:
            yield
        finally:
            self._active = range(len(self._networks))

    def spent(self) -> str:
        """Return in words what the cases so far have cost."""
        how = f"preset {self.preset} by {self.runtime}" if self.preset else f"by {self.runtime}"
        if not self.cases:
            return how
        return f"{how}, {self.passes / self.cases:.0f} passes and {self.seconds / self.cases:.1f} s per case"

    def _check_network(self, folder: ModelFolder, network: LoadedNetwork, channels: int) -> None:
        outputs = network.output_shape[-1]
        if outputs != len(self.outputs):
            raise ModelError(
                f"{folder} has a network with {outputs} outputs per voxel, but {', '.join(self.outputs)} need "
                f"{len(self.outputs)}: it was trained for another label scheme; train it again"
            )
        if network.input_shape[-1] != channels:
            raise ModelError(
                f"{folder} has a network of {network.input_shape[-1]} input channels, but its recipe.json asks for "
                f"{channels}: they come from different trainings; train it again"
            )

    def _check_image(self, image: NDArray[Any]) -> None:
        if len(image) != len(MODALITIES):
            raise ModelError(f"the image has {len(image)} modalities, but the model needs {', '.join(MODALITIES)}")
        present = [name for name in MODALITIES if image[MODALITIES.index(name)].any()]
        missing = [name for name in self.needed(present) if name not in present]
        if missing:
            raise ModelError(f"the image has no {', '.join(missing)}, which the model needs")
