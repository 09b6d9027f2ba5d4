"""Measure every volume of a cohort, so that rules can decide which cases are valid."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LABELS, LabelScheme, LabelSet, whole_labels
from brats_ml.imaging.quality.distribution import Distribution

Row = dict[str, Any]

KEYS = ("case_id", "modality")
AXES = ("x", "y", "z")
PERCENTILES = (1, 50, 99)
LISTED = 12  # the most labels to list; a volume with more is no label map
COLUMNS = (
    *KEYS,
    "name",
    "named",
    "present",
    "readable",
    *(f"shape_{axis}" for axis in AXES),
    *(f"spacing_{axis}" for axis in AXES),
    "affine",
    "axes",
    "oriented",
    "oblique_degrees",
    "disagreement_mm",
    "same_grid",
    "dtype",
    "finite",
    "brain_share",
    "brain_ml",
    "negative_share",
    "minimum",
    "maximum",
    "mean",
    *(f"p{percent}" for percent in PERCENTILES),
    "levels",
    "labels",
    "foreign_labels",
    *(f"voxels_{label}" for label in LABELS),
    "tumour_voxels",
    "mask_agreement",
    "mirror_ratio",
    "likeness",
    "pairing",
    "enhancement",
    "fluid_contrast",
    "outside_brain_share",
    "label_contrast",
    "label_advantage",
    "digest",
    "voxel_digest",
    "copy_of",
    "unread",
    "error",
)


def columns_of(label_set: LabelSet) -> list[str]:
    """Return the columns of the profile of a cohort: `COLUMNS`, and a number of voxels for each further label."""
    return [*COLUMNS, *(f"voxels_{label}" for label in label_set.labels if label not in LABELS)]


def profile_image(volume: NDArray[Any]) -> Row:
    """Measure the intensities of an image, shape (X, Y, Z); percentiles ignore voxels that are 0."""
    values = Distribution.of(volume)
    return {
        **_range(values),
        "brain_share": round(values.nonzero / values.size, 6),
        "negative_share": round(values.negative / values.size, 6),
        **{f"p{percent}": values.percentile(percent) for percent in PERCENTILES},
        "levels": int(values.levels.size),
        "voxel_digest": values.digest(),
    }


def profile_label_map(volume: NDArray[Any], scheme: LabelScheme) -> Row:
    """Measure a label map as stored, shape (X, Y, Z): which labels it has, and how many voxels of each."""
    values = Distribution.of(volume)
    if (values.levels % 1).any():
        values = Distribution.of(whole_labels(volume))
    found = dict(zip(values.levels.tolist(), values.counts.tolist(), strict=True))
    foreign = [level for level in found if level not in scheme.values.values()]
    return {
        **_range(values),
        "labels": _listed(([0.0] if values.zeros else []) + list(found)),
        "foreign_labels": _listed(foreign),
        **{f"voxels_{label}": found.get(value, 0) for label, value in scheme.values.items()},
        "tumour_voxels": values.nonzero,
    }


def brain_of(images: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.bool_]]:
    """Return the mask of each image's nonzero voxels, and as `brain` the voxels that at least half of the masks cover.

    Args:
        images: Volumes by modality, all of one shape, 0 outside the brain.

    Returns:
        Flat masks in Fortran order. NIfTI volumes have this order in memory, so flattening them copies nothing.
    """
    masks = {role: image.ravel(order="F") != 0 for role, image in images.items()}
    votes = np.zeros_like(next(iter(masks.values())), dtype=np.uint8)
    for mask in masks.values():
        votes += mask.view(np.uint8)
    return {**masks, "brain": votes >= (len(masks) + 1) // 2}


def agreement(mask: NDArray[np.bool_], brain: NDArray[np.bool_]) -> float | None:
    """Return the Dice of an image's mask with the brain mask, or None if both are empty."""
    both = int(np.count_nonzero(mask)) + int(np.count_nonzero(brain))
    return round(1 - int(np.count_nonzero(mask ^ brain)) / both, 6) if both else None


def outside_brain_share(label_map: NDArray[Any], brain: NDArray[np.bool_]) -> float | None:
    """Return the share of labelled voxels outside the brain, or None if no voxel is labelled.

    Args:
        label_map: Shape (X, Y, Z).
        brain: The flat mask that `brain_of` returns for images of the same shape.
    """
    labelled = np.flatnonzero(label_map.ravel(order="F") != 0)
    return round(1 - float(brain[labelled].mean()), 6) if labelled.size else None


def _listed(levels: list[float]) -> str:
    return " ".join(f"{level:.9g}" for level in levels[:LISTED]) + (" ..." if len(levels) > LISTED else "")


def _range(values: Distribution) -> Row:
    return {
        "finite": values.not_finite == 0,
        "minimum": values.minimum,
        "maximum": values.maximum,
        "mean": round(values.mean, 6) if np.isfinite(values.mean) else None,
    }
