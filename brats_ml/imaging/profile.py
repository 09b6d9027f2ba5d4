"""What is measured of every volume before it may come in."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LABELS, LabelScheme
from brats_ml.imaging.distribution import Distribution

Row = dict[str, Any]

KEYS = ("case_id", "modality")
AXES = ("x", "y", "z")
PERCENTILES = (1, 50, 99)
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
    "outside_brain_share",
    "digest",
    "voxel_digest",
    "copy_of",
    "error",
)


def profile_image(volume: NDArray[Any]) -> Row:
    """Measure the intensities of an image, shape (X, Y, Z); percentiles are those of its voxels other than 0."""
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
    """Measure a label map as stored, shape (X, Y, Z): which labels it holds and how many voxels of each."""
    values = Distribution.of(volume)
    found = dict(zip(values.levels.tolist(), values.counts.tolist(), strict=True))
    foreign = [level for level in found if level not in scheme.values]
    return {
        **_range(values),
        "labels": " ".join(f"{level:g}" for level in ([0.0] if values.zeros else []) + list(found)),
        "foreign_labels": " ".join(f"{level:g}" for level in foreign[:9]),
        **{f"voxels_{label}": found.get(value, 0) for label, value in zip(LABELS, scheme.values, strict=True)},
        "tumour_voxels": values.nonzero,
    }


def outside_brain_share(label_map: NDArray[Any], images: Mapping[str, NDArray[Any]]) -> float | None:
    """Return the share of labelled voxels where every image is 0; None where nothing is labelled or no image given.

    Args:
        label_map: Shape (X, Y, Z).
        images: Modality to volume of the same shape, zero outside the brain.
    """
    # In the order of memory, in which a NIfTI file is Fortran's: a view, where any other order copies.
    labelled = np.flatnonzero(label_map.ravel(order="F"))
    if not (labelled.size and images):
        return None
    inside = np.zeros(labelled.size, dtype=bool)
    for image in images.values():
        inside |= image.ravel(order="F")[labelled] != 0
    return round(1 - float(inside.mean()), 6)


def _range(values: Distribution) -> Row:
    return {
        "finite": values.not_finite == 0,
        "minimum": values.minimum,
        "maximum": values.maximum,
        "mean": round(values.mean, 6),
    }
