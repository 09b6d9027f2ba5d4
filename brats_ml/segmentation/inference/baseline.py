"""Predict a case's label map with a baseline network.

Evaluation, the gate, scoring and serving all use this code.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LabelMap
from brats_ml.imaging.channels import select
from brats_ml.segmentation.slices import VALUES, labels_from_probabilities, slice_inputs

# Slices per call of the network. This limit saves memory and costs no speed on CPUs.
BATCH = 32


class Network(Protocol):
    """The interface of a trained network, which a Keras model and an OpenVINO graph share."""

    @property
    def output_shape(self) -> tuple[Any, ...]:
        """Shape of the output, batch axis first."""

    def predict_on_batch(self, x: NDArray[np.float32]) -> Any:
        """Return the outputs of a batch of inputs."""


def predict_slices(model: Network, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return class probabilities (slice, size, size, class) of slices (slice, size, size, channel)."""
    # Keras' `predict` would hold several copies of the whole array.
    parts = [np.asarray(model.predict_on_batch(inputs[at : at + BATCH])) for at in range(0, len(inputs), BATCH)]
    if not parts:
        return np.zeros((0, *model.output_shape[1:]), dtype=np.float32)
    return np.concatenate(parts)


def predict_labels(
    model: Network,
    image: NDArray[Any],
    *,
    modalities: Sequence[str],
    size: int,
    first: int,
    count: int | None,
    values: Sequence[int] = VALUES,
) -> tuple[LabelMap, NDArray[np.float32]]:
    """Return a case's label map at native resolution, and the probabilities behind it.

    Args:
        model: A network that was trained by the recipe.
        image: The full canonical volume, shape (modality, X, Y, Z), all of `cohort.modalities.MODALITIES` in order.
        modalities: The modalities that the recipe uses as channels.
        size: The recipe's height and width of a slice.
        first: The first axial slice that the recipe uses.
        count: The number of slices that it uses, or None for all from `first` on.
        values: The label of each class after the background.

    Returns:
        Canonical labels (X, Y, Z); probabilities (slice, size, size, class).
    """
    inputs = slice_inputs(select(image, modalities), size=size, first=first, count=count)
    probabilities = predict_slices(model, inputs)
    labels = labels_from_probabilities(
        probabilities, full_shape=image.shape[1:], first=first, count=count, values=values
    )
    return labels, probabilities
