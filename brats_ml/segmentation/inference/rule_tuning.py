"""Choose the rules that turn the probabilities of regions into labels, on cases that the network has not seen."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import REGIONS, REMAINDERS, UNIONS, VALUES, LabelMap, region_mask
from brats_ml.imaging.metrics.case import dice
from brats_ml.segmentation.inference.postprocessing import VOXEL_ML, Probabilities, Rules, labels_from_regions


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
    unknown: Sequence[Collection[str]] | None = None,
    regions: Sequence[str] = tuple(REGIONS),
    grid: TuningGrid | None = None,
    minimum_gain: float = 0.001,
    voxel_ml: float = VOXEL_ML,
) -> Tuned:
    """Choose the rules with the highest mean Dice of the regions, as BraTS defines it.

    First, `tune` tries all combinations of thresholds and `minimum_et`, from one table of counts per case. Then it
    tries the smallest pieces. Between equal combinations it takes the one nearest to the default. If
    the gain is below `minimum_gain`, the default rules stay.

    Args:
        cases: Pairs of probabilities (region, X, Y, Z) and canonical reference labels (X, Y, Z), iterated over twice.
            They are predicted by a network that was not trained on them.
        unknown: The regions of each case that its reference does not know; the mean of the case leaves them out.
        regions: The regions, in the order of the probabilities.
        grid: The values to try.
        minimum_gain: The mean Dice that other rules must gain over the default.
        voxel_ml: The volume of a voxel.

    Raises:
        ValueError: There is no case.
    """
    tried = grid or TuningGrid()
    default = Rules.of(regions)
    thresholds = sorted({*tried.thresholds, *default.thresholds.values()})
    minima = sorted({*tried.minimum_et, default.minimum_et})
    tables = [_counts(probabilities, reference, thresholds) for probabilities, reference in cases]
    if not tables:
        raise ValueError("there is no case to choose the rules of postprocessing on")
    known = [[name for name in regions if name not in of] for of in unknown or [()] * len(tables)]
    scores = np.mean([_scores(table, minima, regions, of) for table, of in zip(tables, known, strict=True)], axis=0)
    middle, count = thresholds.index(0.5), len(regions)
    places = sorted(
        product(*map(range, scores.shape)),
        key=lambda place: (-round(float(scores[place]), 9), sum(abs(at - middle) for at in place[:count]), place[-1]),
    )
    best = places[0]
    chosen = Rules(dict(zip(regions, (thresholds[at] for at in best[:count]), strict=True)), minima[best[-1]])
    candidates = [default, *_with_pieces(chosen, tried)]
    means = _mean_dice(cases, known, candidates, voxel_ml)
    winner = int(np.argmax(np.round(means, 9)))
    if means[winner] - means[0] < minimum_gain:
        winner = 0
    return Tuned(candidates[winner], len(tables), float(means[0]), float(means[winner]))


def _counts(probabilities: Probabilities, reference: LabelMap, thresholds: Sequence[float]) -> NDArray[np.int64]:
    """Return how many voxels exceed which thresholds, shape (region, ..., label): an axis for each region, and labels.

    Entry [i, j, k, label] counts the voxels of a label that exceed i of the thresholds in WT, j in TC and k in ET.
    """
    levels, classes = len(thresholds) + 1, 1 + max(VALUES.values())
    # Thresholds take the type of the probabilities, so that they compare as in `labels_from_regions`.
    steps = np.asarray(thresholds, dtype=probabilities.dtype)
    code = np.zeros(reference.shape, dtype=np.int32)
    for probability in probabilities:
        code = code * levels + np.searchsorted(steps, probability, side="left").astype(np.int32)
    code = code * classes + reference
    counted = np.bincount(code.ravel(), minlength=levels ** len(probabilities) * classes)
    return counted.reshape(*[levels] * len(probabilities), classes)


def _scores(
    table: NDArray[np.int64], minima: Sequence[int], regions: Sequence[str], known: Collection[str]
) -> NDArray[np.float64]:
    """Return the mean Dice of one case's known regions for each combination, shape (region threshold, ..., minimum)."""
    levels, count = len(table) - 1, len(regions)
    scores = np.zeros((*[levels] * count, len(minima)))
    total = table.reshape(-1, table.shape[-1]).sum(axis=0)
    for places in product(range(levels), repeat=count):
        drawn = _drawn(table, places, regions)
        inside = {region: sum(drawn[label] for label in UNIONS[region] if label in drawn) for region in known}
        fixed = [_dice(np.asarray(inside[region]), total, region) for region in known if region != "ET"]
        for at, minimum in enumerate(minima):
            kept = drawn["ET"] if drawn["ET"].sum() >= minimum else np.zeros_like(drawn["ET"])
            scores[(*places, at)] = sum([*fixed, _dice(kept, total, "ET")]) / len(known)
    return scores


def _drawn(table: NDArray[np.int64], places: Sequence[int], regions: Sequence[str]) -> dict[str, NDArray[np.int64]]:
    """Return the voxels of each reference label inside each predicted label, at one threshold for each region.

    A voxel gets the label of the last region with a threshold that it exceeds.
    """
    drawn, left = {}, table
    for region, place in zip(reversed(regions), reversed(places), strict=True):
        inside = left[..., place + 1 :, :].sum(axis=-2)
        drawn[REMAINDERS[region]] = inside.reshape(-1, inside.shape[-1]).sum(axis=0)
        left = left[..., : place + 1, :].sum(axis=-2)
    return drawn


def _dice(inside: NDArray[np.int64], total: NDArray[np.int64], region: str) -> float:
    """Return the Dice of a region; 1 if neither prediction nor reference contains it.

    Args:
        inside: The voxels of each reference label inside the predicted region.
        total: The voxels of each reference label in the case.
        region: The region.
    """
    own = [VALUES[label] for label in UNIONS[region]]
    both = inside.sum() + total[own].sum()
    return 1.0 if both == 0 else float(2 * inside[own].sum() / both)


def _with_pieces(rules: Rules, grid: TuningGrid) -> list[Rules]:
    """Return the rules with each smallest piece, the default first."""
    return [replace(rules, minimum_ml=minimum) for minimum in dict.fromkeys((rules.minimum_ml, *grid.minimum_ml))]


def _mean_dice(
    cases: Iterable[tuple[Probabilities, LabelMap]],
    known: Iterable[Sequence[str]],
    candidates: Sequence[Rules],
    voxel_ml: float,
) -> NDArray[np.float64]:
    """Return the mean Dice of the known regions of each candidate over the cases."""
    scores = []
    for (probabilities, reference), names in zip(cases, known, strict=True):
        found = (labels_from_regions(probabilities, rules, voxel_ml) for rules in candidates)
        scores.append(
            [
                np.mean([dice(region_mask(reference, name), region_mask(labels, name)) for name in names])
                for labels in found
            ]
        )
    return np.asarray(np.mean(scores, axis=0))
