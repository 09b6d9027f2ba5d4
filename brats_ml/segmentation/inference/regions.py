"""Predict the probabilities of a case's regions with a region network."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from brats_ml.imaging.channels import region_channels, select
from brats_ml.imaging.geometry import bounding_box, crop, uncrop
from brats_ml.imaging.quality.confidence import disagreement
from brats_ml.segmentation.inference.presets import Preset
from brats_ml.segmentation.inference.sliding_window import sliding_window_inference

# Planes per call of a 2D network; a 3D network takes one patch per call. This limit saves memory and costs no speed on
# CPUs.
PLANES = 16


class Ensemble(Protocol):
    """The interface of one network, or of the networks of all folds."""

    def predict_each(self, x: NDArray[np.float32]) -> Sequence[NDArray[np.float32]]:
        """Return the logits of a batch of inputs by each network."""


def predict_regions(
    model: Ensemble,
    image: NDArray[Any],
    *,
    modalities: Sequence[str],
    contralateral: bool,
    windows: Sequence[Sequence[int]],
    neighbours: int,
    preset: Preset,
    regions: int = 3,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the probability of each region in every voxel of a case, at native resolution.

    Windows and mirrored copies are averaged as probabilities, networks as logits. Each window size has the same weight.

    Args:
        model: Networks from patches to logits that were trained by the recipe.
        image: The full canonical volume, shape (modality, X, Y, Z), all of `cohort.modalities.MODALITIES` in order.
        modalities: The modalities that the recipe uses.
        contralateral: Whether the network also sees each modality of the opposite side of the brain.
        windows: The window sizes in voxels, along two axes or three.
        neighbours: The slices on each side that a 2D network sees with each plane.
        preset: The overlap and the mirrored copies.
        regions: The number of regions that the networks predict.

    Returns:
        Shape (region, X, Y, Z) in the order of the outputs; exactly 0 outside the brain. And the `disagreement` of
        windows, copies and networks in each region.
    """
    box = bounding_box((image != 0).any(axis=0))
    seen = select(crop(image, box), modalities)

    channels, brain = region_channels(seen, contralateral=contralateral), (seen != 0).any(axis=0)
    # The mean of the probabilities, and below it the mean of their squares.
    moments = np.zeros((2 * regions, *brain.shape), dtype=np.float32)
    for window in windows:
        moments += sliding_window_inference(
            channels,
            lambda patches: _moments(model.predict_each(patches)),
            brain=brain,
            patch=window,
            overlap=preset.overlap,
            mirrors=preset.mirrors(len(window)),
            neighbours=neighbours,
            regions=len(moments),
            batch=PLANES if len(window) == 2 else 1,
        )
    moments /= len(windows)
    mean, square = moments[:regions], moments[regions:]
    return uncrop(mean, [side.start for side in box], image.shape[1:]), disagreement(mean, square)


def _moments(outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the probability by the mean of the networks' logits, and the networks' mean square, as twice the regions.

    The mean square is taken about that probability, which is not exactly the mean of the networks' probabilities.
    """
    mean = _probability(outputs[0] if len(outputs) == 1 else np.mean(outputs, axis=0))
    square = np.square(mean)
    if len(outputs) > 1:
        square += np.mean([np.square(_probability(logits) - mean) for logits in outputs], axis=0)
    return np.concatenate([mean, square], axis=-1)


def _probability(logits: NDArray[Any]) -> NDArray[np.float32]:
    # SciPy's type stubs do not say that `expit` keeps float32.
    return np.asarray(expit(np.asarray(logits, dtype=np.float32)), dtype=np.float32)
