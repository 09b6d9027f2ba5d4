"""Turn the probabilities of regions into one label per voxel."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brats_ml.cohort.labels import LABEL_SETS, REGIONS, REMAINDERS, UNIONS, VALUES, LabelMap, region_mask
from brats_ml.imaging.geometry import bounding_box

Probabilities = NDArray[np.float32]  # (region, X, Y, Z) in the order of the regions of a label set

# No rules drop a piece that reaches one of these. In the thirteen real references of docs/explanation/experiments.md
# no second piece has more than 0.6 % of the first.
LARGEST_SHARE = 0.01
LARGEST_ML = 1.0
# BraTS volumes have voxels of 1 mm.
VOXEL_ML = 1e-3


@dataclass(frozen=True)
class Rules:
    """How probabilities become labels.

    A 26-connected piece of the whole tumour becomes background if it is below `minimum_share`, below `minimum_ml`, and
    has no voxel of the core (TC or ET).

    Attributes:
        thresholds: The threshold of each region of a label set. A voxel with a higher probability belongs to the
            region.
        minimum_et: A number of voxels. If a case has less enhancing tumour, that becomes necrosis.
        minimum_share: A share of the largest piece, at most `LARGEST_SHARE`.
        minimum_ml: A volume, at most `LARGEST_ML`; 0 keeps every piece.
    """

    thresholds: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(REGIONS, 0.5))
    minimum_et: int = 0
    minimum_share: float = LARGEST_SHARE
    minimum_ml: float = LARGEST_ML

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: A region is missing or unknown, or a value is out of range.
        """
        if all(set(self.thresholds) != set(one.regions) for one in LABEL_SETS.values()):
            raise ValueError(f"thresholds must name {', '.join(REGIONS)}, not {', '.join(self.thresholds)}")
        if not all(0 < value < 1 for value in self.thresholds.values()):
            raise ValueError(f"thresholds must be between 0 and 1: {dict(self.thresholds)}")
        if self.minimum_et < 0:
            raise ValueError(f"minimum_et must be 0 or more: {self.minimum_et}")
        for name, limit in (("minimum_share", LARGEST_SHARE), ("minimum_ml", LARGEST_ML)):
            if not 0 <= getattr(self, name) <= limit:
                raise ValueError(f"{name} must be between 0 and {limit:g}: {getattr(self, name)}")

    @classmethod
    def of(cls, regions: Iterable[str]) -> "Rules":
        """Return the default rules for some regions."""
        return cls(dict.fromkeys(regions, 0.5))

    @property
    def regions(self) -> list[str]:
        """The regions, in the order in which they are drawn."""
        return [region for region in UNIONS if region in self.thresholds]

    def to_dict(self) -> dict[str, Any]:
        """Return the rules as values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Removed:
    """A part of a prediction that the rules removed.

    Attributes:
        region: WT for a piece that became background, or ET for enhancing tumour that became necrosis.
        ml: Its volume.
        share: Its share of the largest piece of that region.
        highest_probability: The highest probability of that region in it.
    """

    region: str
    ml: float
    share: float
    highest_probability: float


def labels_from_regions(probabilities: Probabilities, rules: Rules, voxel_ml: float = VOXEL_ML) -> LabelMap:
    """Return the label map of `apply_rules`."""
    return apply_rules(probabilities, rules, voxel_ml)[0]


def apply_rules(
    probabilities: Probabilities, rules: Rules, voxel_ml: float = VOXEL_ML
) -> tuple[LabelMap, list[Removed]]:
    """Return the label map: ET in the enhancing tumour, NCR in the rest of the core, ED in the rest of the tumour.

    By definition the whole tumour contains the core, and the core ET. A voxel of the core therefore belongs to the
    whole tumour, even if the network predicts otherwise. A cavity or a cyst is drawn over all of them.

    Args:
        probabilities: Shape (region, X, Y, Z), regions in the order of those of the rules.
        rules: The thresholds and smallest sizes.
        voxel_ml: The volume of a voxel.

    Returns:
        Canonical labels, shape (X, Y, Z), and what the rules removed from the thresholded labels, largest piece first.
    """
    labels = _thresholded(probabilities, rules)
    by_region = dict(zip(rules.regions, probabilities, strict=True))
    labels, removed = _drop_pieces(labels, by_region["WT"], rules, voxel_ml)
    enhancing = labels == VALUES["ET"]
    if 0 < (voxels := int(enhancing.sum())) < rules.minimum_et:
        labels[enhancing] = VALUES["NCR"]
        probability = by_region["ET"]
        removed.append(Removed("ET", voxels * voxel_ml, 1.0, float(probability[enhancing].max())))
    return labels, removed


def _thresholded(probabilities: Probabilities, rules: Rules) -> LabelMap:
    labels: LabelMap = np.zeros(probabilities.shape[1:], dtype=np.uint8)
    for region, probability in zip(rules.regions, probabilities, strict=True):
        labels[probability > rules.thresholds[region]] = VALUES[REMAINDERS[region]]
    return labels


def _drop_pieces(
    labels: LabelMap, probability: NDArray[np.float32], rules: Rules, voxel_ml: float
) -> tuple[LabelMap, list[Removed]]:
    """Return the label map without the pieces that the rules drop, and those pieces, largest first.

    Args:
        labels: Canonical labels, shape (X, Y, Z).
        probability: The probability of the whole tumour, shape (X, Y, Z).
        rules: The smallest sizes.
        voxel_ml: The volume of a voxel.
    """
    tumour = region_mask(labels, "WT") if "RC" in rules.thresholds else labels != 0
    if not min(rules.minimum_share, rules.minimum_ml) or not tumour.any():
        return labels, []
    box = bounding_box(tumour)
    pieces, _ = ndimage.label(tumour[box], structure=np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())
    largest = int(sizes[1:].max())
    small = (sizes < rules.minimum_share * largest) & (sizes * voxel_ml < rules.minimum_ml)
    small[0] = False
    small[np.unique(pieces[region_mask(labels[box], "TC")])] = False
    numbers = np.flatnonzero(small)
    if not numbers.size:
        return labels, []
    highest = ndimage.maximum(probability[box], pieces, numbers)
    kept = labels.copy()
    kept[box][small[pieces]] = 0
    removed = [
        Removed("WT", float(sizes[number] * voxel_ml), float(sizes[number] / largest), float(most))
        for number, most in zip(numbers, highest, strict=True)
    ]
    return kept, sorted(removed, key=lambda piece: (-piece.ml, -piece.highest_probability))
