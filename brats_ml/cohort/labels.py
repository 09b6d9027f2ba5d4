"""Labels, regions, and the values that each BraTS release writes for them.

Inside the pipeline a label map holds `NCR` 1, `ED` 2 and `ET` 3 on background 0, as BraTS does since 2023; a case's own
values are read and written through its `LabelScheme`.
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


# Labels that were scaled or resampled on their own grid are off by rounding, and by no more.
ROUNDING = 1e-3


def whole_labels(raw: NDArray[Any]) -> NDArray[Any]:
    """Return a label map whose values are whole numbers but for rounding as whole numbers, any other as it is."""
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
            raw: Label volume as stored, any shape, any numeric type.

        Raises:
            ValueError: A value is neither 0 nor one of the scheme's.
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
        """Return the label map in the scheme's own values; the inverse of `to_canonical`."""
        table = np.array([0, *self.values], dtype=np.uint8)
        return table[labels]


# ET is 4 up to 2021 and 3 from 2023 on; both read off the releases' own segmentations. The Decathlon's order (oedema,
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
    """Return where `labels` (X, Y, Z) belongs to `region`: WT, TC or ET."""
    return np.isin(labels, [LABELS[name] for name in REGIONS[region]])


def label_scheme() -> dict[str, Any]:
    """Return what labels and regions mean here, as labels.json in the folder of a model says it."""
    return {"labels": LABELS, "regions": {region: list(labels) for region, labels in REGIONS.items()}}
