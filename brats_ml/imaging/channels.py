"""Build the input channels of a region network: normalised modalities and, if requested, their mirror images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from brats_ml.cohort.modalities import MODALITIES
from brats_ml.imaging.intensity import normalise

# Standard deviation in voxels of 1 mm. The hemispheres are alike at a coarse scale, never voxel by voxel.
SMOOTHING = 1.5


def region_channels(image: NDArray[Any], *, contralateral: bool) -> NDArray[np.float32]:
    """Return the channels of a scan that is cropped to its brain.

    Args:
        image: Skull-stripped modalities, shape (modality, X, Y, Z). X runs from one side of the head to the other, and
            voxels outside the brain are 0.
        contralateral: Whether to add a mirror image of each modality.

    Returns:
        Shape (channel, X, Y, Z), 0 outside the brain. The normalised modalities come first. Their mirror images,
        mirrored about the middle of X and smoothed, come second.

    Source:
        Raina, Yahorau and Schmah 2020, arXiv:1907.08196, register a scan to its reflection and give the network both.
        Here the middle of the brain's box replaces the plane between the hemispheres.
    """
    normalised = normalise(image)
    if not contralateral:
        return normalised
    brain = (image != 0).any(axis=0)
    other_side = [gaussian_filter(modality[::-1], SMOOTHING) * brain for modality in normalised]
    return np.concatenate([normalised, np.stack(other_side)])


def select(image: NDArray[Any], modalities: Sequence[str]) -> NDArray[Any]:
    """Return the modalities that a recipe uses, in its order, from an image (modality, X, Y, Z) of all modalities."""
    return image[[MODALITIES.index(modality) for modality in modalities]]
