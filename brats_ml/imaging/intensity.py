"""Bring the intensities of scans to a common scale, since MRI has no physical unit."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Percentiles of the brain's intensities. Values beyond them come from vessels and artefacts, not tissue, and are
# clipped.
CLIP = (0.5, 99.5)


def normalise(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return each modality clipped and scaled to mean 0 and standard deviation 1 over its nonzero voxels.

    Args:
        image: Skull-stripped modalities, shape (modality, X, Y, Z), 0 outside the brain.

    Returns:
        The same shape, 0 outside the brain. A modality that is constant after clipping becomes all zeros.
    """
    scaled = np.zeros(image.shape, dtype=np.float32)
    for modality, out in zip(image, scaled, strict=True):
        brain = modality != 0
        values = modality[brain].astype(np.float32)
        if not values.size:
            continue
        low, high = np.percentile(values, CLIP)
        if low < high:
            np.clip(values, low, high, out=values)
            out[brain] = (values - values.mean()) / values.std()
    return scaled


def shades(volume: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a scan in 256 shades of grey for a screen: 0 outside the brain, 1 to 255 between the `CLIP` percentiles.

    Args:
        volume: A skull-stripped scan of any shape, 0 outside the brain; values that are not finite count as outside.
    """
    grey = np.zeros(volume.shape, dtype=np.uint8)
    brain = (volume != 0) & np.isfinite(volume)
    values = volume[brain].astype(np.float32)
    if values.size:
        low, high = np.percentile(values, CLIP)
        scale = 254 / (high - low) if low < high else 0.0
        grey[brain] = 1 + np.rint(scale * (np.clip(values, low, high) - low)).astype(np.uint8)
    return grey
