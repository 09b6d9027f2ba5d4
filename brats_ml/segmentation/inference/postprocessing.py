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


@dataclass(frozen=True)
class Rules:
    """How probabilities become labels.

    Attributes:
        thresholds: The threshold of each region. A voxel with a higher probability belongs to the region.
        minimum_et: A number of voxels. If a case has less enhancing tumour, that becomes necrosis.
        minimum_component: A number of voxels. Smaller 26-connected pieces of the whole tumour become background.
        minimum_share: A share of the largest piece. Smaller pieces become background, too. The default was chosen out
            of fold on real cases, see docs/explanation/experiments.md.
    """

    thresholds: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(REGIONS, 0.5))
    minimum_et: int = 0
    minimum_component: int = 0
    minimum_share: float = 0.1

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: A region is missing or unknown, or a value is out of range.
        """
        if set(self.thresholds) != set(REGIONS):
            raise ValueError(f"thresholds must name {', '.join(REGIONS)}, not {', '.join(self.thresholds)}")
        if not all(0 < value < 1 for value in self.thresholds.values()):
            raise ValueError(f"thresholds must be between 0 and 1: {dict(self.thresholds)}")
        if min(self.minimum_et, self.minimum_component) < 0:
            raise ValueError("minimum_et and minimum_component must be 0 or more")
        if not 0 <= self.minimum_share <= 1:
            raise ValueError(f"minimum_share must be between 0 and 1: {self.minimum_share}")

    def to_dict(self) -> dict[str, Any]:
        """Return the rules as values that JSON can hold."""
        return asdict(self)


def labels_from_regions(probabilities: Probabilities, rules: Rules) -> LabelMap:
    """Return the label map: ET in the enhancing tumour, NCR in the rest of the core, ED in the rest of the tumour.

    By definition each region contains the next one. A voxel of the core therefore belongs to the whole tumour, even
    if the network predicts otherwise.

    Args:
        probabilities: Shape (region, X, Y, Z), regions in the order of `REGIONS`.
        rules: The thresholds and smallest sizes.

    Returns:
        Canonical labels, shape (X, Y, Z).
    """
    labels: LabelMap = np.zeros(probabilities.shape[1:], dtype=np.uint8)
    for (region, label), probability in zip(REMAINDER.items(), probabilities, strict=True):
        labels[probability > rules.thresholds[region]] = LABELS[label]
    enhancing = labels == LABELS["ET"]
    if enhancing.sum() < rules.minimum_et:
        labels[enhancing] = LABELS["NCR"]
    return without_small_pieces(labels, rules.minimum_component, rules.minimum_share)


def without_small_pieces(labels: LabelMap, minimum: int, share: float) -> LabelMap:
    """Return the label map without small pieces of the whole tumour, 26-connected.

    Args:
        labels: Canonical labels, shape (X, Y, Z).
        minimum: The smallest piece that stays, in voxels.
        share: The smallest piece that stays, as a share of the largest piece.
    """
    if (minimum <= 1 and share <= 0) or not labels.any():
        return labels
    box = bounding_box(labels != 0)
    pieces, _ = ndimage.label(labels[box] != 0, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())
    small = sizes < max(minimum, share * sizes[1:].max())
    small[0] = False
    kept = labels.copy()
    kept[box][small[pieces]] = 0
    return kept


@dataclass(frozen=True)
class TuningGrid:
    """The values that `tune` tries."""

    thresholds: Sequence[float] = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    minimum_et: Sequence[int] = (0, 20, 50, 100, 200, 500)
    minimum_component: Sequence[int] = (0, 50, 200, 500, 1000, 2000)
    minimum_share: Sequence[float] = (0.0, 0.1)


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
    cases: Iterable[tuple[Probabilities, LabelMap]], *, grid: TuningGrid | None = None, minimum_gain: float = 0.001
) -> Tuned:
    """Choose the rules with the highest mean Dice of WT, TC and ET, as BraTS defines it.

    First, `tune` tries all combinations of thresholds and `minimum_et`, from one table of counts per case. Then it
    tries all combinations of smallest pieces. Between equal combinations it takes the one nearest to the default. If
    the gain is below `minimum_gain`, the default rules stay.

    Args:
        cases: Pairs of probabilities (region, X, Y, Z) and canonical reference labels (X, Y, Z), iterated over twice.
            No reported figure may use these cases. Take training cases, if possible predicted by a network that was
            not trained on them.
        grid: The values to try.
        minimum_gain: The mean Dice that other rules must gain over the default.

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
    means = _mean_dice(cases, candidates)
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
    """Return the rules with each combination of smallest pieces, the default combination first."""
    shares = dict.fromkeys((rules.minimum_share, *grid.minimum_share))
    return [
        replace(rules, minimum_component=minimum, minimum_share=share)
        for share, minimum in product(shares, sorted({0, *grid.minimum_component}))
    ]


def _mean_dice(cases: Iterable[tuple[Probabilities, LabelMap]], candidates: Sequence[Rules]) -> NDArray[np.float64]:
    """Return the mean region Dice of each candidate over the cases."""
    scores = []
    for probabilities, reference in cases:
        found = (labels_from_regions(probabilities, rules) for rules in candidates)
        scores.append(
            [
                np.mean([dice(region_mask(reference, name), region_mask(labels, name)) for name in REGIONS])
                for labels in found
            ]
        )
    return np.asarray(np.mean(scores, axis=0))
