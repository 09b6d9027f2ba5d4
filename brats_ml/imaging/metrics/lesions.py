"""Lesion-wise scores by which BraTS ranks since 2023: each lesion by itself, missed and invented ones at the worst.

A rule first joins components of the reference into lesions, by growing them: components that touch after that are one
lesion. Then each component of the prediction within the grown lesion counts as its prediction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from brats_ml.imaging.metrics.components import Comparison
from brats_ml.imaging.metrics.lesion_groups import Members, divided, grown_components


@dataclass(frozen=True)
class RegionRule:
    """How one region is divided into lesions.

    Attributes:
        steps: How often masks grow.
        smallest: Largest size that is left out: mm3 of a lesion, and voxels of a prediction where they are joined.
        joined_by: Regions that join the lesions of this one that touch the same lesion of theirs, one after another.
    """

    steps: int
    smallest: float
    joined_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class LesionRule:
    """The rule of one challenge.

    Attributes:
        default: The rule of each region that `special` does not name.
        special: The rules of other regions.
        penalty_mm: HD95 of a missed or invented lesion; None for the diagonal of the volume in voxels.
        joins_predictions: Whether components of the prediction are joined like those of the reference.
        counts_inventions: Whether invented lesions count.
        smallest_predicted_mm3: Whether the smallest size of a prediction is in mm3 too.
    """

    default: RegionRule
    special: Mapping[str, RegionRule] = field(default_factory=dict)
    penalty_mm: float | None = 374.0
    joins_predictions: bool = False
    counts_inventions: bool = True
    smallest_predicted_mm3: bool = False

    def of(self, region: str) -> RegionRule:
        """Return the rule of a region."""
        return self.special.get(region, self.default)


@dataclass(frozen=True)
class LesionScores:
    """The scores of one region.

    Attributes:
        dice: Mean over lesions, missed and invented ones 0; 1 without any lesion.
        hd95: Mean over lesions in mm, missed and invented ones at the penalty; 0 without any lesion.
        nsd: Mean normalised surface Dice over lesions by tolerance in mm; 1 without any lesion.
        found: Lesions with a prediction.
        missed: Lesions without one.
        invented: Predictions without a lesion.
    """

    dice: float
    hd95: float
    nsd: dict[float, float]
    found: int
    missed: int
    invented: int


def lesion_scores(
    compared: Mapping[str, Comparison],
    *,
    rule: LesionRule,
    regions: Sequence[str],
    tolerances_mm: Sequence[float] = (),
    shape: Sequence[int],
) -> dict[str, LesionScores]:
    """Return the lesion-wise scores of regions.

    Args:
        compared: Every region of the case, in the stored order of axes, which decides between equal claims. A region
            that joins others may lack, which means that it is empty.
        rule: The rule.
        regions: The regions to score.
        tolerances_mm: Tolerances of the normalised surface Dice.
        shape: Shape of the volume.
    """
    penalty = float(np.linalg.norm(shape)) if rule.penalty_mm is None else rule.penalty_mm
    lesions = _lesions(compared, rule)
    found = _predictions(compared, rule)
    return {
        region: _scores(
            compared[region],
            lesions[region],
            found[region],
            rule=rule,
            region_rule=rule.of(region),
            penalty_mm=penalty,
            tolerances_mm=tolerances_mm,
        )
        for region in regions
    }


def _lesions(compared: Mapping[str, Comparison], rule: LesionRule) -> dict[str, list[Members]]:
    sides = {region: comparison.reference for region, comparison in compared.items()}
    return divided(
        sides,
        grow=lambda region: compared[region].grown_reference(rule.of(region).steps),
        joined_by=_joined_by(compared, rule),
    )


def _predictions(compared: Mapping[str, Comparison], rule: LesionRule) -> dict[str, list[Members]]:
    if not rule.joins_predictions:
        return {region: [frozenset({one}) for one in sorted(every.predictions)] for region, every in compared.items()}
    sides = {region: comparison.predicted for region, comparison in compared.items()}

    def is_kept(region: str, members: Members) -> bool:
        size: float = compared[region].predicted_voxels(members)
        if rule.smallest_predicted_mm3:
            size *= compared[region].voxel_mm3
        return size > rule.of(region).smallest

    return divided(
        sides,
        grow=lambda region: grown_components(sides[region], rule.of(region).steps),
        joined_by=_joined_by(compared, rule),
        is_kept=is_kept,
    )


def _joined_by(compared: Mapping[str, Comparison], rule: LesionRule) -> dict[str, tuple[str, ...]]:
    return {region: tuple(other for other in rule.of(region).joined_by if other in compared) for region in compared}


def _scores(
    comparison: Comparison,
    lesions: list[Members],
    predictions: list[Members],
    *,
    rule: LesionRule,
    region_rule: RegionRule,
    penalty_mm: float,
    tolerances_mm: Sequence[float],
) -> LesionScores:
    met: set[int] = set()
    dice, hd95, nsd = list[float](), list[float](), {tolerance: list[float]() for tolerance in tolerances_mm}
    found = missed = 0
    for lesion in lesions:
        near = comparison.predictions_near(lesion, steps=region_rule.steps)
        matched = [number for number, prediction in enumerate(predictions) if prediction & near]
        met |= set(matched)
        if comparison.reference_voxels(lesion) * comparison.voxel_mm3 <= region_rule.smallest:
            continue
        if not matched:
            missed += 1
            continue
        found += 1
        prediction = frozenset().union(*(predictions[number] for number in matched))
        dice.append(comparison.dice(lesion, prediction))
        hd95.append(comparison.area_hd95(lesion, prediction))
        for tolerance, values in nsd.items():
            values.append(comparison.nsd(lesion, prediction, tolerance_mm=tolerance))
    invented = len(predictions) - len(met)
    wrong = missed + invented * rule.counts_inventions
    return LesionScores(
        dice=_mean(dice, wrong, worst=0, without=1),
        hd95=_mean(hd95, wrong, worst=penalty_mm, without=0),
        nsd={tolerance: _mean(values, wrong, worst=0, without=1) for tolerance, values in nsd.items()},
        found=found,
        missed=missed,
        invented=invented,
    )


def _mean(values: Sequence[float], wrong: int, *, worst: float, without: float) -> float:
    """Return the mean of values and of as many wrong lesions at the worst, or `without` if there is neither."""
    count = len(values) + wrong
    return float((np.sum(values) + wrong * worst) / count) if count else without
