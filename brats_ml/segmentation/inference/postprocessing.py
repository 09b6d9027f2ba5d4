"""Turn the probabilities of regions into one label per voxel, and choose the rules for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brats_ml.cohort.labels import CLASSES, LABELS, REGIONS, LabelMap, region_mask
from brats_ml.imaging.geometry import bounding_box
from brats_ml.imaging.metrics.case import dice

Probabilities = NDArray[np.float32]  # (region, X, Y, Z) in the order of REGIONS

# The label of a voxel that is inside a region but inside none of the regions after it.
REMAINDER = dict(zip(REGIONS, ("ED", "NCR", "ET"), strict=True))
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
        thresholds: The threshold of each region. A voxel with a higher probability belongs to the region.
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
        if set(self.thresholds) != set(REGIONS):
            raise ValueError(f"thresholds must name {', '.join(REGIONS)}, not {', '.join(self.thresholds)}")
        if not all(0 < value < 1 for value in self.thresholds.values()):
            raise ValueError(f"thresholds must be between 0 and 1: {dict(self.thresholds)}")
        if self.minimum_et < 0:
            raise ValueError(f"minimum_et must be 0 or more: {self.minimum_et}")
        for name, limit in (("minimum_share", LARGEST_SHARE), ("minimum_ml", LARGEST_ML)):
            if not 0 <= getattr(self, name) <= limit:
                raise ValueError(f"{name} must be between 0 and {limit:g}: {getattr(self, name)}")

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

    By definition each region contains the next one. A voxel of the core therefore belongs to the whole tumour, even
    if the network predicts otherwise.

    Args:
        probabilities: Shape (region, X, Y, Z), regions in the order of `REGIONS`.
        rules: The thresholds and smallest sizes.
        voxel_ml: The volume of a voxel.

    Returns:
        Canonical labels, shape (X, Y, Z), and what the rules removed from the thresholded labels, largest piece first.
    """
    labels = _thresholded(probabilities, rules)
    labels, removed = _drop_pieces(labels, dict(zip(REGIONS, probabilities, strict=True))["WT"], rules, voxel_ml)
    enhancing = labels == LABELS["ET"]
    if 0 < (voxels := int(enhancing.sum())) < rules.minimum_et:
        labels[enhancing] = LABELS["NCR"]
        probability = dict(zip(REGIONS, probabilities, strict=True))["ET"]
        removed.append(Removed("ET", voxels * voxel_ml, 1.0, float(probability[enhancing].max())))
    return labels, removed


def _thresholded(probabilities: Probabilities, rules: Rules) -> LabelMap:
    labels: LabelMap = np.zeros(probabilities.shape[1:], dtype=np.uint8)
    for (region, label), probability in zip(REMAINDER.items(), probabilities, strict=True):
        labels[probability > rules.thresholds[region]] = LABELS[label]
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
    if not min(rules.minimum_share, rules.minimum_ml) or not labels.any():
        return labels, []
    box = bounding_box(labels != 0)
    pieces, _ = ndimage.label(labels[box] != 0, structure=np.ones((3, 3, 3)))
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


@dataclass(frozen=True)
class TuningGrid:
    """The values that `tune` tries."""

    thresholds: Sequence[float] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    minimum_et: Sequence[int] = (0, 20, 50, 100, 200, 500)
    minimum_ml: Sequence[float] = (0.0, 0.05, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Tuned:
    """The outcome of `tune`.

    Attributes:
        rules: The best rules.
        cases: The number of cases.
        before: The mean region Dice of the default rules.
        after: The mean region Dice of the best rules.
    """

    rules: Rules
    cases: int
    before: float
    after: float


def tune(
    cases: Iterable[tuple[Probabilities, LabelMap]],
    *,
    grid: TuningGrid | None = None,
    minimum_gain: float = 0.001,
    voxel_ml: float = VOXEL_ML,
) -> Tuned:
    """Choose the rules with the highest mean Dice of WT, TC and ET, as BraTS defines it.

    First, `tune` tries all combinations of thresholds and `minimum_et`, from one table of counts per case. Then it
    tries the smallest pieces. Between equal combinations it takes the one nearest to the default. If
    the gain is below `minimum_gain`, the default rules stay.

    Args:
        cases: Pairs of probabilities (region, X, Y, Z) and canonical reference labels (X, Y, Z), iterated over twice.
            They are predicted by a network that was not trained on them.
        grid: The values to try.
        minimum_gain: The mean Dice that other rules must gain over the default.
        voxel_ml: The volume of a voxel.

    Raises:
        ValueError: There is no case.
    """
    tried = grid or TuningGrid()
    default = Rules()
    thresholds = sorted({*tried.thresholds, *default.thresholds.values()})
    minima = sorted({*tried.minimum_et, default.minimum_et})
    tables = [_counts(probabilities, reference, thresholds) for probabilities, reference in cases]
    if not tables:
        raise ValueError("there is no case to choose the rules of postprocessing on")
    scores = np.mean([_scores(table, minima) for table in tables], axis=0)
    middle = thresholds.index(0.5)
    places = sorted(
        product(*map(range, scores.shape)),
        key=lambda place: (-round(float(scores[place]), 9), sum(abs(at - middle) for at in place[:3]), place[3]),
    )
    best = places[0]
    chosen = Rules(dict(zip(REGIONS, (thresholds[at] for at in best[:3]), strict=True)), minima[best[3]])
    candidates = [default, *_with_pieces(chosen, tried)]
    means = _mean_dice(cases, candidates, voxel_ml)
    winner = int(np.argmax(np.round(means, 9)))
    if means[winner] - means[0] < minimum_gain:
        winner = 0
    return Tuned(candidates[winner], len(tables), float(means[0]), float(means[winner]))


def _counts(probabilities: Probabilities, reference: LabelMap, thresholds: Sequence[float]) -> NDArray[np.int64]:
    """Return how many voxels exceed which thresholds, shape (WT, TC, ET, label).

    Entry [i, j, k, label] counts the voxels of a label that exceed i of the thresholds in WT, j in TC and k in ET.
    """
    levels = len(thresholds) + 1
    # Thresholds take the type of the probabilities, so that they compare as in `labels_from_regions`.
    steps = np.asarray(thresholds, dtype=probabilities.dtype)
    code = np.zeros(reference.shape, dtype=np.int32)
    for probability in probabilities:
        code = code * levels + np.searchsorted(steps, probability, side="left").astype(np.int32)
    code = code * CLASSES + reference
    counted = np.bincount(code.ravel(), minlength=levels**3 * CLASSES)
    return counted.reshape(levels, levels, levels, CLASSES)


def _scores(table: NDArray[np.int64], minima: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean region Dice of one case for each combination, shape (WT, TC, ET threshold, minimum_et)."""
    levels = len(table) - 1
    scores = np.zeros((levels, levels, levels, len(minima)))
    total = table.sum(axis=(0, 1, 2))
    for wt, tc, et in product(range(levels), repeat=3):
        inside_et = table[:, :, et + 1 :].sum(axis=(0, 1, 2))
        inside_tc = inside_et + table[:, tc + 1 :, : et + 1].sum(axis=(0, 1, 2))
        inside_wt = inside_tc + table[wt + 1 :, : tc + 1, : et + 1].sum(axis=(0, 1, 2))
        fixed = _dice(inside_wt, total, "WT") + _dice(inside_tc, total, "TC")
        for at, minimum in enumerate(minima):
            kept = inside_et if inside_et.sum() >= minimum else np.zeros_like(inside_et)
            scores[wt, tc, et, at] = (fixed + _dice(kept, total, "ET")) / 3
    return scores


def _dice(inside: NDArray[np.int64], total: NDArray[np.int64], region: str) -> float:
    """Return the Dice of a region; 1 if neither prediction nor reference contains it.

    Args:
        inside: The voxels of each reference label inside the predicted region.
        total: The voxels of each reference label in the case.
        region: The region.
    """
    own = [LABELS[label] for label in REGIONS[region]]
    both = inside.sum() + total[own].sum()
    return 1.0 if both == 0 else float(2 * inside[own].sum() / both)


def _with_pieces(rules: Rules, grid: TuningGrid) -> list[Rules]:
    """Return the rules with each smallest piece, the default first."""
    return [replace(rules, minimum_ml=minimum) for minimum in dict.fromkeys((rules.minimum_ml, *grid.minimum_ml))]


def _mean_dice(
    cases: Iterable[tuple[Probabilities, LabelMap]], candidates: Sequence[Rules], voxel_ml: float
) -> NDArray[np.float64]:
    """Return the mean region Dice of each candidate over the cases."""
    scores = []
    for probabilities, reference in cases:
        found = (labels_from_regions(probabilities, rules, voxel_ml) for rules in candidates)
        scores.append(
            [
                np.mean([dice(region_mask(reference, name), region_mask(labels, name)) for name in REGIONS])
                for labels in found
            ]
        )
    return np.asarray(np.mean(scores, axis=0))
