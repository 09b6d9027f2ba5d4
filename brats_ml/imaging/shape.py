"""Measure a tumour beyond its volumes: how compact it is, how many pieces it has, and where in the brain it is."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brats_ml.cohort.labels import LabelMap, region_mask

REGIONS = ("WT", "TC")
SHAPE = (*(f"{region.lower()}_{what}" for region in REGIONS for what in ("compactness", "extent")), "wt_pieces")
LOCATION = ("wt_off_midline", "wt_front_to_back", "wt_bottom_to_top")


def shape_features(labels: LabelMap) -> dict[str, float]:
    """Return the features in `SHAPE` of a canonical label map, shape (X, Y, Z), with cubic voxels.

    Compactness is 36 pi V^2 / S^3, where V is the volume and S the surface counted in faces of voxels. It is 0.30 for a
    ball, 0.52 for a cube, and less for ragged shapes. Extent is the share of its bounding box that a region fills.
    Voxels that touch at a corner belong to one piece. The shape of an absent region is NaN, and an absent tumour has 0
    pieces.
    """
    found: dict[str, float] = {}
    for region in REGIONS:
        mask = region_mask(labels, region)
        found[f"{region.lower()}_compactness"] = _compactness(mask)
        found[f"{region.lower()}_extent"] = _extent(mask)
    _, pieces = ndimage.label(region_mask(labels, "WT"), structure=np.ones((3, 3, 3)))
    return found | {"wt_pieces": float(pieces)}


def location_features(labels: LabelMap, brain: NDArray[np.bool_]) -> dict[str, float]:
    """Return the features in `LOCATION`: the place of the whole tumour's centre in the bounding box of the brain.

    Args:
        labels: A canonical label map, shape (X, Y, Z). The axes run across, front to back, and bottom to top.
        brain: The brain mask on the same grid.

    Returns:
        The distance from the middle of the first axis, 0 to 0.5, which is the same for both sides. The positions along
        the second and third axis, 0 to 1. All are NaN if there is no tumour.
    """
    tumour = np.argwhere(region_mask(labels, "WT"))
    if not len(tumour):
        return dict.fromkeys(LOCATION, math.nan)
    inside = np.argwhere(brain)
    low, high = inside.min(axis=0), inside.max(axis=0)
    across, along, up = (tumour.mean(axis=0) - low) / np.maximum(high - low, 1)
    return dict(zip(LOCATION, (abs(float(across) - 0.5), float(along), float(up)), strict=True))


def _compactness(mask: NDArray[np.bool_]) -> float:
    volume = int(mask.sum())
    if not volume:
        return math.nan
    padded = np.pad(mask, 1).astype(np.int8)
    faces = sum(int((np.diff(padded, axis=axis) != 0).sum()) for axis in range(3))
    return float(36 * math.pi * volume**2 / faces**3)


def _extent(mask: NDArray[np.bool_]) -> float:
    occupied = np.argwhere(mask)
    if not len(occupied):
        return math.nan
    return float(len(occupied) / math.prod((np.ptp(occupied, axis=0) + 1).tolist()))
