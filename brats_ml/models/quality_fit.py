"""Calibrate the quality control of a trained recipe, on cases that its networks have not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from brats_ml.cohort.labels import REGIONS
from brats_ml.config.quality import Quality
from brats_ml.imaging.quality.confidence import Counts, choose_temperature
from brats_ml.imaging.quality.familiarity import Cohort
from brats_ml.imaging.quality.volume_intervals import covered, difficulty, half_width
from brats_ml.models.calibration import Calibration
from brats_ml.models.quality import Observation, expected_dice_by_region, risk

DECAYS = (0.05, 20.0)
# In round figures, as fitted on real cases for networks of 600 steps: docs/explanation/quality.md.
FIXED_DECAY = 3.5
DECIMALS = 6


@dataclass(frozen=True)
class HeldOut:
    """A prediction with its reference.

    Attributes:
        observation: What is measured without the reference.
        by_reference: The voxels by probability, outside and inside each region of the reference.
        dice: The Dice of each region.
        volumes_mm3: The true volume of each region.
        release: The release of the case.
    """

    observation: Observation
    by_reference: Counts
    dice: Mapping[str, float]
    volumes_mm3: Mapping[str, float]
    release: str


def calibrate(
    cases: Sequence[HeldOut],
    *,
    part: str,
    profiles: Sequence[Mapping[str, float]],
    settings: Quality,
    regions: Sequence[str] = tuple(REGIONS),
) -> dict[str, Any]:
    """Return the contents of qc.json.

    Args:
        cases: Predictions by networks that have not seen the cases; there may be none.
        part: Which cases they are.
        profiles: The profiles of training cases.
        settings: The section `qc`.
        regions: The regions of the model.
    """
    counts = sum((case.by_reference for case in cases), np.zeros((len(regions), 2, 1), dtype=np.int64))
    temperatures = {
        region: choose_temperature(of_region) if cases else 1.0
        for region, of_region in zip(regions, counts, strict=True)
    }
    expected = [expected_dice_by_region(case.observation, temperatures) for case in cases]
    fitted = len(cases) >= settings.fitted_on
    widths, inside = {}, {}
    for region in regions:
        volumes = (
            [case.observation.volumes_mm3[region] for case in cases],
            [case.volumes_mm3[region] for case in cases],
            [difficulty(dice[region]) for dice in expected],
        )
        width = half_width(*volumes, coverage=settings.coverage) if cases else None
        widths[region] = None if width is None else round(width, DECIMALS)
        inside[region] = covered(*volumes, coverage=settings.coverage)
    releases = np.array([case.release for case in cases])
    return Calibration(
        settings=settings,
        part=part,
        cases=len(cases),
        temperatures={region: round(value, DECIMALS) for region, value in temperatures.items()},
        decay=_decay(cases, temperatures) if fitted else FIXED_DECAY,
        fitted=fitted,
        widths_mm=widths,
        covered_by_release={
            "all": _coverage(inside, np.ones(len(cases), dtype=np.bool_)),
            **{str(release): _coverage(inside, releases == release) for release in np.unique(releases)},
        },
        cohort=Cohort.of(profiles).rounded(DECIMALS) if len(profiles) >= 3 else None,
    ).model_dump()


def _decay(cases: Sequence[HeldOut], temperatures: Mapping[str, float]) -> float:
    """Return the decay with the least squared difference between the scores and the mean Dice of the regions."""
    risks = np.array([risk(case.observation, temperatures) for case in cases])
    dice = np.array([np.mean(list(case.dice.values())) for case in cases])
    low, high = np.log(DECAYS)
    found: Any = minimize_scalar(
        lambda logarithm: float(np.square(np.exp(-np.exp(logarithm) * risks) - dice).sum()),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return round(float(np.exp(found.x)), DECIMALS)


def _coverage(inside: Mapping[str, NDArray[np.bool_] | None], chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the number of the chosen cases, and of each region the share with the true volume in its interval."""
    shares = {
        region: None if values is None or not chosen.any() else round(float(values[chosen].mean()), 4)
        for region, values in inside.items()
    }
    return {"cases": int(chosen.sum()), **shares}
