"""What a tumour's label map tells beyond volumes: how compact it is, in how many pieces, and where it lies."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brats_ml.cohort.labels import LabelMap, region_mask

REGIONS = ("WT", "TC")
SHAPE = (*(f"{region.lower()}_{what}" for region in REGIONS for what in ("compactness", "extent")), "wt_pieces")
LOCATION = ("wt_off_midline", "wt_front_to_back", "wt_bottom_to_top")


def shape_features(labels: LabelMap) -> dict[str, float]:
    """Return `SHAPE` of a canonical label map, shape (X, Y, Z), of voxels that are cubes.

    Compactness is 36 pi V^2 / S^3, with the surface S counted in faces of voxels: 0.30 for a ball, 0.52 for a cube,
    less for anything ragged. Extent is the share of its bounding box that a region fills. Pieces are counted with
    voxels that touch at a corner as one. What is absent has NaN for shape and 0 pieces.
    """
    found: dict[str, float] = {}
    for region in REGIONS:
        mask = region_mask(labels, region)
        found[f"{region.lower()}_compactness"] = _compactness(mask)
        found[f"{region.lower()}_extent"] = _extent(mask)
    _, pieces = ndimage.label(region_mask(labels, "WT"), structure=np.ones((3, 3, 3)))
    return found | {"wt_pieces": float(pieces)}


def location_features(labels: LabelMap, brain: NDArray[np.bool_]) -> dict[str, float]:
    """Return `LOCATION`: where the centre of the whole tumour lies in the bounding box of the brain.

    Args:
        labels: Canonical label map, shape (X, Y, Z), axes across, front to back, bottom to top.
        brain: Which voxels are brain, on the same grid.

    Returns:
        Distance from the middle of the first axis, 0 to 0.5, which is the same for both sides; share of the second and
        of the third axis, 0 to 1; NaN where there is no tumour.
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
