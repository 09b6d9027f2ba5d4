"""Judge the prediction of a case without its reference, by what the model's training left in qc.json."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LabelMap, region_mask
from brats_ml.config.quality import Quality
from brats_ml.imaging.quality.confidence import Counts, expected_dice, expected_precision, mean_entropy, tabulate
from brats_ml.imaging.quality.familiarity import case_profile
from brats_ml.imaging.quality.plausibility import implausible, plausibility
from brats_ml.imaging.quality.volume_intervals import difficulty, volume_interval
from brats_ml.models.calibration import Calibration
from brats_ml.models.segmentation_method import SegmentationModel

DECIMALS = 4
# The features that say most about a distance.
NAMED = 3
NO_CALIBRATION = (
    "the model has no calibration (qc.json): it was registered by an older version, or without held-out cases"
)


@dataclass(frozen=True)
class Observation:
    """What is measured of a prediction.

    Attributes:
        counts: The voxels by probability, outside and inside each predicted region.
        disagreement: By how much the predictions behind it differ, a mean over the regions; None if there was but one.
        plausibility: The measures of `plausibility`.
        profile: The features of `case_profile`.
        volumes_mm3: The volume of each region, in the order of `counts`.
    """

    counts: Counts
    disagreement: float | None
    plausibility: Mapping[str, float]
    profile: Mapping[str, float]
    volumes_mm3: Mapping[str, float]


def observe(
    model: SegmentationModel,
    image: NDArray[Any],
    labels: LabelMap,
    probabilities: NDArray[np.float32],
    *,
    voxel_mm3: float,
) -> Observation:
    """Measure the prediction that a model has just made.

    Args:
        model: The model.
        image: The image that it saw, shape (modality, X, Y, Z).
        labels: The labels that it returned.
        probabilities: The probabilities that it returned.
        voxel_mm3: The volume of a voxel.
    """
    of_regions, predicted = model.region_probabilities(labels, probabilities)
    regions = tuple(model.label_set.regions)
    likely = dict(zip(regions, of_regions > 0.5, strict=True))
    differing = model.disagreement
    return Observation(
        tabulate(of_regions, predicted),
        None if differing is None else float(differing.mean()),
        plausibility(labels, (image != 0).any(axis=0), enhancing=likely["ET"], core=likely["TC"]),
        case_profile(image, labels, regions=regions),
        {region: float(np.count_nonzero(region_mask(labels, region))) * voxel_mm3 for region in regions},
    )


def risk(observation: Observation, temperatures: Mapping[str, float]) -> float:
    """Return what the score of a prediction falls with: 1 less its expected precision, a mean over the regions.

    It is 0 for certain probabilities and at most 1.
    """
    tables = zip(observation.volumes_mm3, observation.counts, strict=True)
    return 1 - float(np.mean([expected_precision(counts, temperatures[region]) for region, counts in tables]))


def expected_dice_by_region(observation: Observation, temperatures: Mapping[str, float]) -> dict[str, float]:
    """Return the expected Dice of each region at its temperature."""
    return {
        region: expected_dice(counts, temperatures[region])
        for region, counts in zip(observation.volumes_mm3, observation.counts, strict=True)
    }


def judge(observation: Observation, calibration: Calibration | None) -> dict[str, Any]:
    """Return the quality of a prediction as its record holds it.

    Args:
        observation: The measures of the prediction.
        calibration: The calibration of its model, if it has one.

    Returns:
        The score, which is the expected mean Dice of the regions; whether the case needs a review, and why; the
        expected Dice of each region; entropy in nats; disagreement; the distance from the training cases; the measures
        of plausibility; and the interval of each region's volume. Without a calibration there is no score.
    """
    settings = Quality() if calibration is None else calibration.settings
    regions = tuple(observation.volumes_mm3)
    temperatures = dict.fromkeys(regions, 1.0) if calibration is None else calibration.temperatures
    reasons = implausible(
        dict(observation.plausibility), {str(name): limit for name, limit in settings.largest.items()}
    )
    entropy = mean_entropy(observation.counts, np.array([temperatures[region] for region in regions]))
    record: dict[str, Any] = {
        "score": None,
        "expected_dice": None,
        "entropy": _rounded(entropy),
        "disagreement": _rounded(observation.disagreement),
        "distance": None,
        "plausibility": {name: _rounded(value) for name, value in observation.plausibility.items()},
        "volume_intervals_mm3": None,
        "profile": {name: _rounded(value) for name, value in observation.profile.items()},
    }
    if calibration is None:
        return _with_review(record, [NO_CALIBRATION, *reasons], review=bool(reasons))
    dice = expected_dice_by_region(observation, temperatures)
    record |= {
        "score": _rounded(math.exp(-calibration.decay * risk(observation, temperatures))),
        "expected_dice": {region: _rounded(value) for region, value in dice.items()},
        "volume_intervals_mm3": _intervals(observation, calibration, dice),
    }
    if record["score"] < settings.review_below:
        worst = min(dice, key=lambda region: dice[region])
        reasons = [
            f"expected mean Dice {record['score']:.2f}, less than {settings.review_below:g}; lowest in {worst}, "
            f"{dice[worst]:.2f}",
            *reasons,
        ]
    if calibration.cohort is not None:
        distance = calibration.cohort.distance(observation.profile)
        record["distance"] = _rounded(distance)
        if distance > settings.largest_distance:
            deviations = calibration.cohort.deviations(observation.profile)
            named = sorted(deviations, key=lambda name: (-deviations[name], name))[:NAMED]
            reasons.append(
                f"unlike the training cases: {distance:.1f} times as far as the farthest of them, most in "
                f"{', '.join(named)}"
            )
    return _with_review(record, reasons, review=bool(reasons))


def _with_review(record: dict[str, Any], reasons: list[str], *, review: bool) -> dict[str, Any]:
    score = {"score": record.pop("score")}
    return score | {"review": review, "reasons": reasons} | record


def _intervals(
    observation: Observation, calibration: Calibration, dice: Mapping[str, float]
) -> dict[str, dict[str, float]] | None:
    """Return the interval of each region's volume in mm3, None if no region has one."""
    found = {}
    for region, width in calibration.widths_mm.items():
        if width is not None:
            low, high = volume_interval(observation.volumes_mm3[region], width * difficulty(dice[region]))
            found[region] = {"low": round(low, 1), "high": round(high, 1), "coverage": calibration.settings.coverage}
    return found or None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DECIMALS)
