"""From the probabilities of regions to one label a voxel, and how the rules for that are chosen."""

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

# What a voxel becomes that is inside a region and inside none of those that follow.
REMAINDER = dict(zip(REGIONS, ("ED", "NCR", "ET"), strict=True))


@dataclass(frozen=True)
class Rules:
    """How probabilities become labels.

    Attributes:
        thresholds: Of each region; a voxel belongs to it above.
        minimum_et: Voxels; less enhancing tumour than that in a case is taken for necrosis.
        minimum_component: Voxels; smaller pieces of the whole tumour, 26-connected, are taken for background.
        minimum_share: Of the largest piece; pieces smaller than that are taken for background, too. The default was
            chosen out of fold on real cases, see docs/explanation/experiments.md.
    """

    thresholds: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(REGIONS, 0.5))
    minimum_et: int = 0
    minimum_component: int = 0
    minimum_share: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what is no rule.

        Raises:
            ValueError: A region is missing or unknown, or a value is out of range.
        """
        if set(self.thresholds) != set(REGIONS):
            raise ValueError(f"thresholds must name {', '.join(REGIONS)}, and name {', '.join(self.thresholds)}")
        if not all(0 < value < 1 for value in self.thresholds.values()):
            raise ValueError(f"thresholds must lie between 0 and 1: {dict(self.thresholds)}")
        if min(self.minimum_et, self.minimum_component) < 0:
            raise ValueError("minimum_et and minimum_component must be 0 or more")
        if not 0 <= self.minimum_share <= 1:
            raise ValueError(f"minimum_share must lie between 0 and 1: {self.minimum_share}")

    def to_dict(self) -> dict[str, Any]:
        """Return the rules as JSON knows them."""
        return asdict(self)


def labels_from_regions(probabilities: Probabilities, rules: Rules) -> LabelMap:
    """Return the label map: ED where the whole tumour is, NCR where its core is, ET where that enhances.

    A region holds the next one by definition, so a voxel of the core is one of the whole tumour whatever the network
    says of the latter.

    Args:
        probabilities: Shape (region, X, Y, Z), regions in the order of `REGIONS`.
        rules: Thresholds and smallest sizes.

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
        minimum: Voxels of a piece that stays, at least.
        share: Of the largest piece that a piece has which stays, at least.
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
    """The rules that did best, and the mean Dice of the three regions under the default ones and under them."""

    rules: Rules
    cases: int
    before: float
    after: float


def tune(
    cases: Iterable[tuple[Probabilities, LabelMap]], *, grid: TuningGrid | None = None, minimum_gain: float = 0.001
) -> Tuned:
    """Choose thresholds and smallest sizes by the mean Dice of WT, TC and ET under the rules of BraTS.

    Thresholds and `minimum_et` are tried in all combinations, from one table of counts a case; the smallest pieces
    after them, in all combinations too. Of equal combinations the one nearest to the default stays, and all of them
    wherever the gain is below `minimum_gain`.

    Args:
        cases: Probabilities (region, X, Y, Z) and canonical reference labels (X, Y, Z) of cases that no figure is
            reported on: of the training part, best predicted by a network that was not trained on them. Iterated over
            twice, so a list, or an object that reads a case when it is asked for it.
        grid: The values to try.
        minimum_gain: Mean Dice that leaving the default has to bring.

    Raises:
        ValueError: There is no case.
    """
    tried = grid or TuningGrid()
    default = Rules()
    thresholds = sorted({*tried.thresholds, *default.thresholds.values()})
    minima = sorted({*tried.minimum_et, default.minimum_et})
    tables = [_counts(probabilities, reference, thresholds) for probabilities, reference in cases]
    if not tables:
        raise ValueError("no case to choose the rules of postprocessing by")
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
    last = int(np.argmax(np.round(means, 9)))
    if means[last] - means[0] < minimum_gain:
        last = 0
    return Tuned(candidates[last], len(tables), float(means[0]), float(means[last]))


def _counts(probabilities: Probabilities, reference: LabelMap, thresholds: Sequence[float]) -> NDArray[np.int64]:
    """Return how many voxels lie above which thresholds, shape (WT, TC, ET, label).

    Entry [i, j, k, label] counts those above i of the thresholds by their WT, j by their TC and k by their ET.
    """
    levels = len(thresholds) + 1
    # Searching in the type of the probabilities: a threshold compares as it does in `labels_from_regions`.
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
    """Return Dice from the voxels of each label that a prediction holds and that there are; 1 where both are none."""
    own = [LABELS[label] for label in REGIONS[region]]
    both = inside.sum() + total[own].sum()
    return 1.0 if both == 0 else float(2 * inside[own].sum() / both)


def _with_pieces(rules: Rules, grid: TuningGrid) -> list[Rules]:
    """Return the rules with each combination of smallest pieces, those nearest to the default first."""
    shares = dict.fromkeys((rules.minimum_share, *grid.minimum_share))
    return [
        replace(rules, minimum_component=minimum, minimum_share=share)
        for share, minimum in product(shares, sorted({0, *grid.minimum_component}))
    ]


def _mean_dice(cases: Iterable[tuple[Probabilities, LabelMap]], candidates: Sequence[Rules]) -> NDArray[np.float64]:
    """Return the mean region Dice over cases by each of the candidates."""
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
