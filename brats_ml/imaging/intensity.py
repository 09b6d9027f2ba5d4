"""Bring the intensities of scans to a common scale, since MRI has no physical unit."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import median_abs_deviation

# Percentiles of the brain's intensities. Values beyond them come from vessels and artefacts, not tissue, and are
# clipped.
CLIP = (0.5, 99.5)
# The fit of `enhancement`: its iterations, and the robust standard deviations beyond which a voxel is left out.
FITS, FITTED_WITHIN = 5, 2.5
# Enhancement in robust standard deviations is halved, so that it varies about as much as a normalised modality, and
# then clipped here. The enhancing tumour of 19 real cases has medians of 0.5 to 4.6, and other tumour of -0.8 to 0.6.
ENHANCEMENT_SCALE, ENHANCEMENT_CLIP = 0.5, (-3.0, 5.0)


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


def enhancement(t1: NDArray[Any], t1ce: NDArray[Any]) -> NDArray[np.float32]:
    """Return how much brighter a voxel is in T1ce than its T1 explains, on a scale that all scanners share.

    T1ce is fitted as a linear function of T1 by least squares over the brain, without the voxels that deviate most. So
    neither the contrast agent nor a tumour changes the fit much. The result is the residual in robust standard
    deviations, halved.

    Args:
        t1: Skull-stripped T1, shape (X, Y, Z), 0 outside the brain.
        t1ce: T1 after the contrast agent, of the same shape.

    Returns:
        The same shape, 0 outside the brain, and all zeros if T1 is constant.
    """
    found = np.zeros(t1.shape, dtype=np.float32)
    brain = (t1 != 0) & (t1ce != 0)
    before, after = t1[brain].astype(np.float64), t1ce[brain].astype(np.float64)
    fitted = np.ones(before.shape, dtype=bool)
    residual, spread = after, 0.0
    for _ in range(FITS):
        if not fitted.any() or not (variance := before[fitted].var()):
            return found
        centre, level = before[fitted].mean(), after[fitted].mean()
        slope = ((before[fitted] - centre) * (after[fitted] - level)).mean() / variance
        residual = after - level - slope * (before - centre)
        spread = float(median_abs_deviation(residual, scale="normal"))
        fitted = np.abs(residual) <= FITTED_WITHIN * spread
    if spread:
        found[brain] = np.clip(ENHANCEMENT_SCALE * residual / spread, *ENHANCEMENT_CLIP)
    return found


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
