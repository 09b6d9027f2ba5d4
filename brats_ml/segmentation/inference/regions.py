"""Probabilities of regions from volumes, the whole way a region recipe goes."""

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

# Planes that go through a 2D network at once; 3D patches go one by one. Bounds memory, and costs no speed on CPUs.
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

    The sigmoid comes before the mean over windows and copies: probabilities are averaged, not logits. Each size of
    windows counts the same.

    Args:
        model: From patches to logits, trained by the recipe.
        image: Full canonical volume, shape (modality, X, Y, Z), all of `cohort.modalities.MODALITIES` in that order.
        modalities: The recipe's.
        contralateral: Whether the network sees each on the other side of the brain, too.
        windows: Sizes of windows, each of the voxels that the network sees at once, along two axes or three.
        neighbours: Slices on each side that a 2D network sees with one.
        preset: Overlap and mirrored copies.

    Returns:
        Shape (region, X, Y, Z) in the order of `REGIONS`; exactly 0 outside the brain.
    """
    box = bounding_box((image != 0).any(axis=0))
    seen = select(crop(image, box), modalities)

    def predict(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        # In float32 since the logits are; the stubs of SciPy do not tell.
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
