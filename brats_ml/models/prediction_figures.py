"""The figures of a prediction: which volumes it has, and with how many digits all of them are written."""

import math
from collections.abc import Collection, Sequence
from typing import Any

from brats_ml.cohort.labels import GLIOMA, LABEL_SETS, VALUES, LabelMap, LabelSet, region_mask
from brats_ml.survival.summary import PROBABILITIES

# A voxel of BraTS has 0.001 ml.
ML_DECIMALS = 3
PROBABILITY_DECIMALS = 4
FEATURE_DECIMALS = 6


def volumes_of(label_set: LabelSet) -> tuple[str, ...]:
    """Return the regions of a label set, and its labels that are no region."""
    return (*label_set.regions, *(label for label in label_set.labels if label not in label_set.regions))


def label_set_of(volumes: Collection[str]) -> LabelSet:
    """Return the first label set with these volumes, as the record of a prediction names them."""
    return next(one for one in LABEL_SETS.values() if set(volumes_of(one)) == set(volumes))


VOLUMES = volumes_of(LABEL_SETS[GLIOMA])
# What only some label sets have.
FURTHER = tuple(dict.fromkeys(name for one in LABEL_SETS.values() for name in volumes_of(one) if name not in VOLUMES))


def volumes_mm3(labels: LabelMap, spacing_mm: Sequence[float], label_set: LabelSet) -> dict[str, float]:
    """Return the volume of each region of a canonical label map, and of the labels that are no region."""
    voxel = math.prod(spacing_mm)
    masks = {
        name: region_mask(labels, name) if name in label_set.regions else labels == VALUES[name]
        for name in volumes_of(label_set)
    }
    return {name: round(float(mask.sum()) * voxel, 3) for name, mask in masks.items()}


def in_ml(volume_mm3: float | None) -> float | None:
    """Return a volume in millilitres, None where it is unknown."""
    return None if volume_mm3 is None else round(volume_mm3 / 1000, ML_DECIMALS)


def rounded(survival: dict[str, Any]) -> dict[str, Any]:
    """Return a survival prediction with probabilities of 4 decimals and whole days."""
    found = dict(survival)
    for name in (*PROBABILITIES, "expected_days"):
        if found.get(name) is not None:
            found[name] = round(found[name], 0 if name == "expected_days" else PROBABILITY_DECIMALS)
    if found.get("curve_alive") is not None:
        found["curve_alive"] = [round(share, PROBABILITY_DECIMALS) for share in found["curve_alive"]]
    return found
