"""Label maps: their values in the files of each release and in the pipeline, and the masks of regions.

`cohort.label_table` declares which labels and regions there are; its names may be imported from here, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.label_table import (
    CLASSES,
    GLIOMA,
    LABEL_SETS,
    LABELS,
    REGIONS,
    REMAINDERS,
    STORED,
    TITLES,
    UNIONS,
    VALUES,
    LabelSet,
)

__all__ = [
    "CLASSES",
    "GLIOMA",
    "LABELS",
    "LABEL_SETS",
    "REGIONS",
    "REMAINDERS",
    "ROUNDING",
    "SCHEMES",
    "TITLES",
    "UNIONS",
    "VALUES",
    "LabelMap",
    "LabelScheme",
    "LabelSet",
    "region_mask",
    "whole_labels",
]

LabelMap = NDArray[np.uint8]  # (X, Y, Z), values of VALUES and 0

# Scaling labels, or resampling them on their own grid, leaves rounding errors below this.
ROUNDING = 1e-3


def whole_labels(raw: NDArray[Any]) -> NDArray[Any]:
    """Return a label map as whole numbers if its values differ from them by rounding errors only, else unchanged."""
    if raw.dtype.kind in "iu" or not np.isfinite(raw).all():
        return raw
    rounded = np.rint(raw)
    return rounded if np.abs(rounded - raw).max(initial=0) < ROUNDING else raw


@dataclass(frozen=True)
class LabelScheme:
    """The voxel values that one family of releases uses.

    Attributes:
        name: Its name in params.yaml and the manifest.
        values: The stored value of each label.
    """

    name: str
    values: Mapping[str, int]

    def to_canonical(self, raw: NDArray[Any]) -> LabelMap:
        """Return the label map in the values of the pipeline.

        Args:
            raw: The label volume as stored, of any shape and numeric type.

        Raises:
            ValueError: A value is neither 0 nor in the scheme.
        """
        labelled = raw != 0
        values = whole_labels(raw[labelled])
        canonical = np.zeros_like(raw, dtype=np.uint8)
        found = np.zeros(values.shape, dtype=np.uint8)
        for label, value in self.values.items():
            found[values == value] = VALUES[label]
        unknown = np.unique(values[(found == 0) & (values != 0)]).tolist()
        if unknown:
            listed = ", ".join(f"{value:g}" for value in unknown[:5])
            raise ValueError(f"label values {listed} are not in scheme {self.name} {tuple(self.values.values())}")
        canonical[labelled] = found
        return canonical

    def from_canonical(self, labels: LabelMap) -> LabelMap:
        """Return the label map in the values of the scheme; the inverse of `to_canonical`.

        Raises:
            ValueError: The map has a label that the scheme has no value for.
        """
        table = np.zeros(256, dtype=np.uint8)
        for label, value in self.values.items():
            table[VALUES[label]] = value
        stored = table[labels]
        if np.count_nonzero(stored) != np.count_nonzero(labels):
            unknown = sorted(set(np.unique(labels).tolist()) - {0, *(VALUES[label] for label in self.values)})
            raise ValueError(f"scheme {self.name} has no value for label {', '.join(map(str, unknown))}")
        return stored


SCHEMES = {name: LabelScheme(name, values) for name, values in STORED.items()}


def region_mask(labels: LabelMap, region: str) -> NDArray[np.bool_]:
    """Return the mask of a region, a name in `UNIONS`, in the labels of the pipeline (X, Y, Z)."""
    return np.isin(labels, [VALUES[name] for name in UNIONS[region]])
