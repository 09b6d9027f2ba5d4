"""Predict the probabilities of a case's regions with a region network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from brats_ml.cohort.labels import REGIONS
from brats_ml.imaging.channels import region_channels, select
from brats_ml.imaging.geometry import bounding_box, crop, uncrop
from brats_ml.segmentation.inference.baseline import Network
from brats_ml.segmentation.inference.presets import Preset
from brats_ml.segmentation.inference.sliding_window import sliding_window_inference

# Planes per call of a 2D network; a 3D network takes one patch per call. This limit saves memory and costs no speed on
# CPUs.
PLANES = 16


def predict_regions(
    model: Network,
    image: NDArray[Any],
    *,
    modalities: Sequence[str],
    contralateral: bool,
    windows: Sequence[Sequence[int]],
    neighbours: int,
    preset: Preset,
) -> NDArray[np.float32]:
    """Return the probability of each region in every voxel of a case, at native resolution.

    Windows and mirrored copies are averaged as probabilities, not as logits. Each window size has the same weight.

    Args:
        model: A network from patches to logits that was trained by the recipe.
        image: The full canonical volume, shape (modality, X, Y, Z), all of `cohort.modalities.MODALITIES` in order.
        modalities: The modalities that the recipe uses.
        contralateral: Whether the network also sees each modality of the opposite side of the brain.
        windows: The window sizes in voxels, along two axes or three.
        neighbours: The slices on each side that a 2D network sees with each plane.
        preset: The overlap and the mirrored copies.

    Returns:
        Shape (region, X, Y, Z) in the order of `REGIONS`; exactly 0 outside the brain.
    """
    box = bounding_box((image != 0).any(axis=0))
    seen = select(crop(image, box), modalities)

    def predict(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        # SciPy's type stubs do not say that `expit` keeps float32.
        return np.asarray(expit(np.asarray(model.predict_on_batch(patches), dtype=np.float32)), dtype=np.float32)

    channels, brain = region_channels(seen, contralateral=contralateral), (seen != 0).any(axis=0)
    mean = np.zeros((len(REGIONS), *brain.shape), dtype=np.float32)
    for window in windows:
        mean += sliding_window_inference(
            channels,
            predict,
            brain=brain,
            patch=window,
            overlap=preset.overlap,
            mirrors=preset.mirrors(len(window)),
            neighbours=neighbours,
            regions=len(REGIONS),
            batch=PLANES if len(window) == 2 else 1,
        )
    mean /= len(windows)
    return uncrop(mean, [side.start for side in box], image.shape[1:])
