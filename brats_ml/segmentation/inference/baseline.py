"""Label maps from volumes, the whole way a recipe goes: the same call in evaluation, gate, scoring and serving."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LabelMap
from brats_ml.imaging.channels import select
from brats_ml.segmentation.slices import labels_from_probabilities, slice_inputs

# Slices that go through the network at once: bounds memory, and costs no speed on CPUs.
BATCH = 32


class Network(Protocol):
    """What inference asks of a trained network: a Keras model, or its graph in another runtime."""

    @property
    def output_shape(self) -> tuple[Any, ...]:
        """Shape of what it gives, the batch first."""

    def predict_on_batch(self, x: NDArray[np.float32]) -> Any:
        """Return what it gives for a batch of inputs."""


def predict_slices(model: Network, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return class probabilities (slice, size, size, class) of slices (slice, size, size, channel)."""
    # predict() on the whole array would pad nothing but keep several copies of it.
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
) -> tuple[LabelMap, NDArray[np.float32]]:
    """Return a case's label map at native resolution, and the probabilities it was made from.

    Args:
        model: Trained by the recipe.
        image: Full canonical volume, shape (modality, X, Y, Z), all of `cohort.cases.MODALITIES` in that order.
        modalities: The recipe's channels.
        size: The recipe's slice height and width.
        first: First axial slice the recipe uses.
        count: Number of slices it uses, or None for all that follow.

    Returns:
        Canonical labels (X, Y, Z); probabilities (slice, size, size, class).
    """
    inputs = slice_inputs(select(image, modalities), size=size, first=first, count=count)
    probabilities = predict_slices(model, inputs)
    labels = labels_from_probabilities(probabilities, full_shape=image.shape[1:], first=first, count=count)
    return labels, probabilities
