"""Intensities of a scan on a common scale; MRI has no unit of its own."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Percentiles of the brain's intensities outside of which values are clipped: vessels and artefacts, not tissue.
CLIP = (0.5, 99.5)


def normalise(image: NDArray[Any]) -> NDArray[np.float32]:
    """Return each modality clipped, with mean 0 and standard deviation 1 over its own brain, and 0 outside of it.

    Args:
        image: Skull-stripped modalities, shape (modality, X, Y, Z); 0 is outside the brain.

    Returns:
        The same shape; all zeros where a modality is constant but for what is clipped.
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
