"""Labels, regions, and the voxel values that each BraTS release uses for them.

Inside the pipeline a label map has the values of BraTS 2023: 1 for `NCR`, 2 for `ED`, 3 for `ET`, and 0 for background.
A `LabelScheme` converts the values of a release to these and back.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LabelMap = NDArray[np.uint8]  # (X, Y, Z), values of LABELS and 0

LABELS = {"NCR": 1, "ED": 2, "ET": 3}
# Background and the labels.
CLASSES = 1 + len(LABELS)
REGIONS = {"WT": ("NCR", "ED", "ET"), "TC": ("NCR", "ET"), "ET": ("ET",)}


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
    """The voxel values that one family of releases uses for NCR, ED and ET."""

    name: str
    values: tuple[int, int, int]

    def to_canonical(self, raw: NDArray[Any]) -> LabelMap:
        """Return the label map in canonical values.

        Args:
            raw: The label volume as stored, of any shape and numeric type.

        Raises:
            ValueError: A value is neither 0 nor in the scheme.
        """
        labelled = raw != 0
        values = whole_labels(raw[labelled])
        canonical = np.zeros_like(raw, dtype=np.uint8)
        found = np.zeros(values.shape, dtype=np.uint8)
        for label, value in zip(LABELS.values(), self.values, strict=True):
            found[values == value] = label
        unknown = np.unique(values[(found == 0) & (values != 0)]).tolist()
        if unknown:
            listed = ", ".join(f"{value:g}" for value in unknown[:5])
            raise ValueError(f"label values {listed} are not in scheme {self.name} {self.values}")
        canonical[labelled] = found
        return canonical

    def from_canonical(self, labels: LabelMap) -> LabelMap:
        """Return the label map in the values of the scheme; the inverse of `to_canonical`."""
        table = np.array([0, *self.values], dtype=np.uint8)
        return table[labels]


# ET is 4 up to 2021 and 3 from 2023 on, as in the segmentations of the releases. The Decathlon's order (oedema,
# non-enhancing tumour, enhancing tumour) is that of its dataset.json.
SCHEMES = {
    scheme.name: scheme
    for scheme in (
        LabelScheme("brats2017-2021", (1, 2, 4)),
        LabelScheme("brats2023", (1, 2, 3)),
        LabelScheme("msd-task01", (2, 1, 3)),
    )
}


def region_mask(labels: LabelMap, region: str) -> NDArray[np.bool_]:
    """Return the mask of a region, which is WT, TC or ET, in canonical labels (X, Y, Z)."""
    return np.isin(labels, [LABELS[name] for name in REGIONS[region]])


def label_scheme() -> dict[str, Any]:
    """Return the labels and regions of the pipeline, as labels.json in a model's folder holds them."""
    return {"labels": LABELS, "regions": {region: list(labels) for region, labels in REGIONS.items()}}
