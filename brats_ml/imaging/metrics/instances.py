"""Scores of components matched one to one, as panoptica computes them for `brats-evaluation`.

panoptica reads files with SimpleITK, which reverses the axes but not the voxel size. So it measures the distances of
matches with the voxel size in reverse, and this module does the same. The voxels of BraTS are cubes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from brats_ml.imaging.metrics.components import Comparison
from brats_ml.imaging.metrics.lesion_groups import Members

PENALTY_MM = 373.0
LEAST_DICE = 1e-6  # of a match
APART = 1.0 + 1e-6  # cost of a pair that does not match; a match costs 1 - Dice
UNIT_MM = (1.0, 1.0, 1.0)
GLOBAL_TOLERANCE = 0.5  # in voxels
Values = tuple[float, float, float]  # Dice, normalised surface Dice, HD95
BEST, WORST = (1.0, 1.0, 0.0), (0.0, 0.0, PENALTY_MM)
LARGE_MM3 = 27.0  # of the challenge of metastases


@dataclass(frozen=True)
class InstanceScores:
    """The scores of one region.

    A component of the reference and one of the prediction match if their Dice is at least 1e-6; among the possible
    matchings the one with the greatest sum of Dice counts.

    Attributes:
        dice: Mean over matches; 0 without a match, and 1 if both masks are empty.
        nsd: Mean normalised surface Dice over matches, within the smallest side of a voxel; as `dice` without matches.
        hd95: Mean over matches of the pooled 95th percentile, in mm; the penalty without a match, 0 for empty masks.
        f1: Matches among all components of both masks; 1 if both masks are empty.
        pq: `dice` times `f1`.
        matched: Matches.
        missed: Components of the reference without a match.
        invented: Components of the prediction without a match.
        large_dice: Mean over components of the reference of at least 27 mm3 and over inventions; those without a match
            count 0. It is 1 without such components.
        large_nsd: As `large_dice`.
        large_hd95: The same of distances, those without a match at the penalty; 0 without such components.
        global_nsd: Of the whole masks, within half a voxel; 0 if they share no voxel.
        global_hd95: Of the whole masks in voxels, pooled; the penalty if they share no voxel.
    """

    dice: float
    nsd: float
    hd95: float
    f1: float
    pq: float
    matched: int
    missed: int
    invented: int
    large_dice: float
    large_nsd: float
    large_hd95: float
    global_nsd: float
    global_hd95: float


def instance_scores(comparison: Comparison) -> InstanceScores:
    """Return the scores of one region."""
    references, predictions = len(comparison.references), len(comparison.predictions)
    if not references + predictions:
        return InstanceScores(1.0, 1.0, 0.0, 1.0, 1.0, 0, 0, 0, 1.0, 1.0, 0.0, 1.0, 0.0)
    values = {one: _values(comparison, one, other) for one, other in _matches(comparison)}
    dice, nsd, hd95 = _means(list(values.values()))
    f1 = 2 * len(values) / (references + predictions)
    invented = predictions - len(values)
    global_nsd, global_hd95 = _global_scores(comparison)
    large = [one for one in comparison.references if _mm3(comparison, one) >= LARGE_MM3]
    of_large = _means([values.get(one, WORST) for one in large] + [WORST] * invented) if large else BEST
    return InstanceScores(
        dice=dice,
        nsd=nsd,
        hd95=hd95,
        f1=f1,
        pq=dice * f1,
        matched=len(values),
        missed=references - len(values),
        invented=invented,
        large_dice=of_large[0],
        large_nsd=of_large[1],
        large_hd95=of_large[2],
        global_nsd=global_nsd,
        global_hd95=global_hd95,
    )


def _matches(comparison: Comparison) -> list[tuple[int, int]]:
    """Return the components of reference and prediction that match."""
    overlaps = comparison.overlaps
    sizes = overlaps.sum(axis=1)[1:, None] + overlaps.sum(axis=0)[None, 1:]
    dice = 2 * overlaps[1:, 1:] / sizes
    cost = np.where(dice >= LEAST_DICE, 1 - dice, APART)
    rows, columns = linear_sum_assignment(cost)
    matched = cost[rows, columns] < 1
    return list(zip((rows[matched] + 1).tolist(), (columns[matched] + 1).tolist(), strict=True))


def _values(comparison: Comparison, reference: int, predicted: int) -> Values:
    pair = frozenset({reference}), frozenset({predicted})
    spacing = comparison.spacing_mm[::-1]
    nsd = comparison.nsd(*pair, tolerance_mm=min(spacing), spacing_mm=spacing)
    return comparison.dice(*pair), nsd, _pooled(comparison, *pair, spacing_mm=spacing)


def _means(values: list[Values]) -> Values:
    if not values:
        return WORST
    dice, nsd, hd95 = np.mean(values, axis=0).tolist()
    return dice, nsd, hd95


def _global_scores(comparison: Comparison) -> tuple[float, float]:
    """Return the normalised surface Dice and the HD95 of the whole masks, which panoptica measures in voxels."""
    if not comparison.overlaps[1:, 1:].any():
        return 0.0, PENALTY_MM
    whole = comparison.references, comparison.predictions
    nsd = comparison.nsd(*whole, tolerance_mm=GLOBAL_TOLERANCE, spacing_mm=UNIT_MM)
    return nsd, _pooled(comparison, *whole, spacing_mm=UNIT_MM)


def _pooled(comparison: Comparison, references: Members, predictions: Members, *, spacing_mm: Sequence[float]) -> float:
    both = np.concatenate(comparison.surface_mm(references, predictions, spacing_mm=spacing_mm))
    return float(np.percentile(both, 95))


def _mm3(comparison: Comparison, reference: int) -> float:
    return comparison.reference_voxels(frozenset({reference})) * comparison.voxel_mm3
