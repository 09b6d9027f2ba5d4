"""Degrade a case on purpose, as scanners, movement and mistakes do, so that its prediction gets worse."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brats_ml.cohort.modalities import MODALITIES

Image = NDArray[Any]  # (modality, X, Y, Z), 0 outside the brain

T1, T1CE, FLAIR = (MODALITIES.index(name) for name in ("t1", "t1ce", "flair"))


def noise(image: Image, generator: np.random.Generator) -> Image:
    """Add noise of 0.6 of the standard deviation of each modality."""
    sigma = np.array([modality[modality != 0].std() for modality in image])[:, None, None, None]
    return image + 0.6 * sigma * generator.standard_normal(image.shape, dtype=np.float32)


def bias_field(image: Image, generator: np.random.Generator) -> Image:
    """Multiply each modality by a smooth field between 1/3 and 3."""
    fields = []
    for _ in image:
        coarse = generator.uniform(-1.1, 1.1, size=(3, 3, 3))
        zoomed = ndimage.zoom(coarse, np.array(image.shape[1:]) / 3, order=1, mode="nearest", grid_mode=True)
        fields.append(np.exp(zoomed))
    return image * np.stack(fields).astype(np.float32)


def shifted(image: Image, generator: np.random.Generator) -> Image:
    """Shift T1ce by 8 voxels to a side, as a failed registration does."""
    moved = image.copy()
    moved[T1CE] = np.roll(image[T1CE], int(generator.choice([-8, 8])), axis=0)
    return moved


def thick(image: Image, generator: np.random.Generator) -> Image:
    """Give every six slices their mean, as thick slices do."""
    starts = np.arange(0, image.shape[-1], 6)
    sums = np.add.reduceat(image, starts, axis=-1)
    widths = np.diff([*starts, image.shape[-1]])
    return np.repeat(sums / widths, widths, axis=-1)


def contrast(image: Image, generator: np.random.Generator) -> Image:
    """Raise FLAIR to the power of 2.5, as another sequence does."""
    changed = image.copy()
    peak = max(float(image[FLAIR].max()), 1.0)
    changed[FLAIR] = peak * np.clip(image[FLAIR] / peak, 0, None) ** 2.5
    return changed


def without_contrast_agent(image: Image, generator: np.random.Generator) -> Image:
    """Replace T1ce by T1, as a wrong export does."""
    changed = image.copy()
    changed[T1CE] = image[T1]
    return changed


LADDER: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "noise": noise,
    "T1ce shifted": shifted,
    "thick slices": thick,
    "T1 as T1ce": without_contrast_agent,
    "bias field": bias_field,
    "FLAIR contrast": contrast,
}


def degraded(image: Image, kind: str, *, seed: int) -> Image:
    """Return an image after one step of the ladder, 0 outside the brain of each modality as before."""
    worse = LADDER[kind](image.astype(np.float32), np.random.default_rng(seed))
    return np.where(image != 0, worse, 0).astype(np.float32)
