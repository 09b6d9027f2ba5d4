"""Every official ruler of a case in one pass: lesion-wise scores of 2023 and 2024, surface Dice, matched components.

The Dice and the HD95 of `case.py` are among them. All rulers share the components of each region, and two sets of
components are compared once.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict

import numpy as np

from brats_ml.cohort.labels import LabelMap
from brats_ml.imaging.geometry import crop
from brats_ml.imaging.metrics.case import METRICS, WORST_HD95_MM, Metric, column
from brats_ml.imaging.metrics.challenges import Challenge
from brats_ml.imaging.metrics.components import Comparison, region_box
from brats_ml.imaging.metrics.instances import InstanceScores, instance_scores
from brats_ml.imaging.metrics.lesions import LesionRule, LesionScores, lesion_scores
from brats_ml.imaging.metrics.overlap import check_shapes
from brats_ml.imaging.metrics.surface_distance import checked_spacing

TOLERANCES_MM = (0.5, 1.0)
WORST_AREA_MM = 374.0
PERCENTILE = 95

_SHARE = "1 where both are empty, 0 where one is"
_DISTANCE = f"0 where both are empty, {WORST_AREA_MM:g} where one is"
_LESIONS = "1 without lesions and inventions"
_LESION_MM = "0 without lesions and inventions"
_NO_MATCH = "1 where both are empty, 0 without a match"
_NO_MATCH_MM = "0 where both are empty, 373 without a match"
_COUNT = "0"

RULERS = (
    *(metric for metric in METRICS if metric.name in ("dice", "hd95", "hd95_pooled")),
    Metric("nsd_05", "", 1.0, "share of both surfaces within 0.5 mm of the other", _SHARE),
    Metric("nsd_10", "", 1.0, "share of both surfaces within 1 mm of the other", _SHARE),
    Metric("hd95_area", "mm", 0.0, "HD95 by area of surface, the larger direction", _DISTANCE),
    Metric("dice_2023", "", 1.0, "lesion-wise Dice of 2023", _LESIONS),
    Metric("hd95_2023", "mm", 0.0, "lesion-wise HD95 of 2023", _LESION_MM),
    Metric("found_2023", "lesions", None, "lesions with a prediction, by the rule of 2023", _COUNT),
    Metric("missed_2023", "lesions", 0.0, "lesions without a prediction, by the rule of 2023", _COUNT),
    Metric("invented_2023", "lesions", 0.0, "predictions without a lesion, by the rule of 2023", _COUNT),
    Metric("dice_2024", "", 1.0, "lesion-wise Dice of 2024", _LESIONS),
    Metric("hd95_2024", "mm", 0.0, "lesion-wise HD95 of 2024", _LESION_MM),
    Metric("nsd_05_2024", "", 1.0, "lesion-wise surface Dice of 2024 at 0.5 mm", _LESIONS),
    Metric("nsd_10_2024", "", 1.0, "lesion-wise surface Dice of 2024 at 1 mm", _LESIONS),
    Metric("found_2024", "lesions", None, "lesions with a prediction, by the rule of 2024", _COUNT),
    Metric("missed_2024", "lesions", 0.0, "lesions without a prediction, by the rule of 2024", _COUNT),
    Metric("invented_2024", "lesions", 0.0, "predictions without a lesion, by the rule of 2024", _COUNT),
    Metric("dice_matched", "", 1.0, "mean Dice of matched components", _NO_MATCH),
    Metric("nsd_matched", "", 1.0, "mean surface Dice of matched components, within a voxel", _NO_MATCH),
    Metric("hd95_matched", "mm", 0.0, "mean HD95 of matched components", _NO_MATCH_MM),
    Metric("f1_matched", "", 1.0, "F1 of components", _NO_MATCH),
    Metric("pq_matched", "", 1.0, "dice_matched times f1_matched", _NO_MATCH),
    Metric("matched", "components", None, "matched components", _COUNT),
    Metric("missed", "components", 0.0, "components of the reference without a match", _COUNT),
    Metric("invented", "components", 0.0, "components of the prediction without a match", _COUNT),
    Metric("dice_large", "", 1.0, "Dice of components of 27 mm3 and of inventions", "1 without such components"),
    Metric("nsd_large", "", 1.0, "surface Dice of the same", "1 without such components"),
    Metric("hd95_large", "mm", 0.0, "HD95 of the same", "0 without such components"),
    Metric(
        "nsd_global", "", 1.0, "surface Dice within half a voxel", "1 where both are empty, 0 without a common voxel"
    ),
    Metric("hd95_global", "voxels", 0.0, "pooled HD95", "0 where both are empty, 373 without a common voxel"),
)


def ruler_columns(regions: Collection[str]) -> tuple[str, ...]:
    """Return the names of what `case_rulers` returns for regions."""
    return tuple(column(ruler.name, region) for ruler in RULERS for region in regions)


def case_rulers(
    reference: LabelMap,
    predicted: LabelMap,
    *,
    challenge: Challenge,
    regions: Mapping[str, Collection[int]],
    spacing_mm: Sequence[float],
) -> dict[str, float]:
    """Return every official ruler of the regions of one case.

    Args:
        reference: Label map, shape (X, Y, Z), with the axes as stored: where two lesions have an equal claim, the rule
            of 2024 decides by the order of voxels.
        predicted: Label map of the same shape.
        challenge: The challenge with the rules.
        regions: Values of each region, by the names of the challenge; those that it does not score only join others.
        spacing_mm: Voxel size along each axis.

    Returns:
        One value for each name of `ruler_columns`, in that order, for the regions that are scored. None is NaN.

    Raises:
        ValueError: The shapes differ, or the spacing is not three positive numbers.
    """
    check_shapes(reference, predicted)
    # Headers store single precision; rounding to it keeps a distance that equals a tolerance within it.
    spacing = tuple(float(np.float32(size)) for size in checked_spacing(spacing_mm))
    compared = _compared(reference, predicted, challenge, regions, spacing)
    scored = [region for region in regions if region not in challenge.unscored]
    shape = reference.shape
    rules = {2023: challenge.rule_2023, 2024: challenge.rule_2024}
    lesions = {
        year: lesion_scores(
            compared, rule=rule, regions=scored, tolerances_mm=TOLERANCES_MM if year == 2024 else (), shape=shape
        )
        for year, rule in rules.items()
    }
    found = {
        region: {
            **_whole(compared[region]),
            **_of_lesions(lesions[2023][region], "2023"),
            **_of_lesions(lesions[2024][region], "2024"),
            **_of_instances(instance_scores(compared[region])),
        }
        for region in scored
    }
    return {column(ruler.name, region): found[region][ruler.name] for ruler in RULERS for region in scored}


def _compared(
    reference: LabelMap,
    predicted: LabelMap,
    challenge: Challenge,
    regions: Mapping[str, Collection[int]],
    spacing: Sequence[float],
) -> dict[str, Comparison]:
    margin = max(_steps(challenge.rule_2023), _steps(challenge.rule_2024))
    box = region_box(reference, predicted, margin=margin)
    maps = [crop(volume, box) for volume in (reference, predicted)]
    compared = {}
    for region, values in regions.items():
        table = np.zeros(256, dtype=bool)
        table[list(values)] = True
        compared[region] = Comparison(table[maps[0]], table[maps[1]], spacing_mm=spacing)
    return compared


def _steps(rule: LesionRule) -> int:
    return max(region.steps for region in (rule.default, *rule.special.values()))


def _whole(comparison: Comparison) -> dict[str, float]:
    pair = comparison.references, comparison.predictions
    if not all(pair):
        equal = not any(pair)
        worst = {"hd95": WORST_HD95_MM, "hd95_pooled": WORST_HD95_MM, "hd95_area": WORST_AREA_MM}
        shares = dict.fromkeys(("dice", "nsd_05", "nsd_10"), float(equal))
        return shares | {name: 0.0 if equal else value for name, value in worst.items()}
    nsd = [comparison.nsd(*pair, tolerance_mm=tolerance) for tolerance in TOLERANCES_MM]
    sides = comparison.surface_mm(*pair)
    return {
        "dice": comparison.dice(*pair),
        "hd95": max(float(np.percentile(side, PERCENTILE)) for side in sides),
        "hd95_pooled": float(np.percentile(np.concatenate(sides), PERCENTILE)),
        "nsd_05": nsd[0],
        "nsd_10": nsd[1],
        "hd95_area": comparison.area_hd95(*pair),
    }


def _of_lesions(scores: LesionScores, year: str) -> dict[str, float]:
    values = {"dice": scores.dice, "hd95": scores.hd95}
    values |= {f"nsd_{round(10 * tolerance):02}": value for tolerance, value in scores.nsd.items()}
    values |= {"found": scores.found, "missed": scores.missed, "invented": scores.invented}
    return {f"{name}_{year}": float(value) for name, value in values.items()}


def _of_instances(scores: InstanceScores) -> dict[str, float]:
    values = asdict(scores)
    names = {name: f"{name}_matched" for name in ("dice", "nsd", "hd95", "f1", "pq")}
    for name in ("large_dice", "large_nsd", "large_hd95", "global_nsd", "global_hd95"):
        names[name] = "_".join(reversed(name.split("_")))
    return {names.get(name, name): float(value) for name, value in values.items()}
