"""What a region network sees of a scan: normalised modalities, and each of them on the other side of the brain."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from brats_ml.cohort.modalities import MODALITIES
from brats_ml.imaging.intensity import normalise

# Standard deviation in voxels of 1 mm: hemispheres are alike in the large, never voxel by voxel.
SMOOTHING = 1.5


def region_channels(image: NDArray[Any], *, contralateral: bool) -> NDArray[np.float32]:
    """Return the channels of a scan that is cropped to its brain.

    Args:
        image: Skull-stripped modalities, shape (modality, X, Y, Z); X runs from one side of the head to the other, and
            0 is outside the brain.
        contralateral: Whether each modality is seen mirrored, too.

    Returns:
        An array of shape (channel, X, Y, Z) with the modalities normalised, and after them, if asked for, the same
        mirrored about the middle of X and smoothed; 0 outside the brain.

    Source:
        Raina, Yahorau and Schmah 2020, arXiv:1907.08196, who register a scan to its reflection and let a network see
        both; here the middle of the brain's box stands for the plane between the hemispheres.
    """
    normalised = normalise(image)
    if not contralateral:
        return normalised
    brain = (image != 0).any(axis=0)
    other_side = [gaussian_filter(modality[::-1], SMOOTHING) * brain for modality in normalised]
    return np.concatenate([normalised, np.stack(other_side)])


def select(image: NDArray[Any], modalities: Sequence[str]) -> NDArray[Any]:
    """Return the modalities a recipe uses, in its order, from an image (modality, X, Y, Z) that has all of them."""
    return image[[MODALITIES.index(modality) for modality in modalities]]
