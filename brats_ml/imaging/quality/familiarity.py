"""Measure how far the intensities and volumes of a case are from those of the cases that a model was trained on."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from brats_ml.cohort.labels import REGIONS, LabelMap, region_mask
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.imaging.geometry import bounding_box, crop
from brats_ml.imaging.intensity import normalise

PERCENTILES = (5, 25, 50, 75, 95)
# Along Y and Z every second voxel is enough, and four times as quick.
STEP = 2
# A feature that is the same in all training cases has no scale of its own.
SMALLEST_SCALE = 0.02


def case_profile(image: NDArray[Any], labels: LabelMap, *, regions: Iterable[str] = tuple(REGIONS)) -> dict[str, float]:
    """Return what a case looks like: the features of its intensities, and its volumes relative to the brain.

    Intensities are normalised first, so another unit of the scanner changes nothing. Each modality has the percentiles
    of its brain, and its roughness, which is the standard deviation of the differences of neighbours along X. Each pair
    of modalities has its correlation. Each region has the cube root of its share of the brain.

    Args:
        image: Shape (modality, X, Y, Z), all of `MODALITIES` in order, 0 outside the brain. A modality that is 0
            everywhere is left out.
        labels: Canonical labels, shape (X, Y, Z).
        regions: The regions of the model.
    """
    mask = (image != 0).any(axis=0)
    if not mask.any():
        return {}
    box = bounding_box(mask)
    inside = int(np.count_nonzero(mask))
    thinned = (..., slice(None, None, STEP), slice(None, None, STEP))
    brain, scaled = crop(mask, box)[thinned], normalise(crop(image, box)[thinned])
    known = [index for index in range(len(MODALITIES)) if scaled[index].any()]
    features: dict[str, float] = {}
    for index in known:
        values = scaled[index][brain]
        name = MODALITIES[index]
        percentiles = np.percentile(values, PERCENTILES)
        features |= {f"{name}_p{at}": float(value) for at, value in zip(PERCENTILES, percentiles, strict=True)}
        steps = np.diff(scaled[index], axis=0)[brain[1:] & brain[:-1]]
        features[f"{name}_roughness"] = float(steps.std()) if steps.size else 0.0
    for first, second in combinations(known, 2):
        both = np.corrcoef(scaled[first][brain], scaled[second][brain])[0, 1]
        features[f"{MODALITIES[first]}_{MODALITIES[second]}"] = float(both)
    for region in regions:
        features[f"volume_{region}"] = float(np.cbrt(np.count_nonzero(region_mask(labels, region)) / inside))
    return features


class Cohort(BaseModel):
    """The profiles of the training cases, in short.

    Attributes:
        cases: Their number.
        middle: The median of each feature.
        scale: The mean absolute difference of each feature from its median.
        farthest: The largest distance of a training case from the others.
        profiles: The profiles themselves; none in models of before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    cases: int
    middle: dict[str, float]
    scale: dict[str, float]
    farthest: float
    profiles: list[dict[str, float]] = Field(default_factory=list)

    @classmethod
    def of(cls, profiles: Sequence[Mapping[str, float]]) -> "Cohort":
        """Return the cohort of some profiles, at least three; each is measured against the others.

        Raises:
            ValueError: There are fewer profiles.
        """
        if len(profiles) < 3:
            raise ValueError("a cohort needs three cases")
        whole = cls._summary(profiles)
        others = [cls._summary([*profiles[:at], *profiles[at + 1 :]]) for at in range(len(profiles))]
        farthest = max(rest.raw(profile) for rest, profile in zip(others, profiles, strict=True))
        return whole.model_copy(update={"farthest": farthest, "profiles": [dict(profile) for profile in profiles]})

    @classmethod
    def _summary(cls, profiles: Sequence[Mapping[str, float]]) -> "Cohort":
        names = list(dict.fromkeys(name for profile in profiles for name in profile))
        values = {name: [profile[name] for profile in profiles if name in profile] for name in names}
        middle = {name: float(np.median(found)) for name, found in values.items()}
        scale = {
            name: max(float(np.mean(np.abs(np.array(found) - middle[name]))), SMALLEST_SCALE)
            for name, found in values.items()
        }
        return cls(cases=len(profiles), middle=middle, scale=scale, farthest=1.0)

    def deviations(self, profile: Mapping[str, float]) -> dict[str, float]:
        """Return the distance of each feature that both sides have from the median, in scales."""
        return {
            name: abs(value - self.middle[name]) / self.scale[name]
            for name, value in profile.items()
            if name in self.middle
        }

    def raw(self, profile: Mapping[str, float]) -> float:
        """Return the mean deviation of a profile, 0 if it shares no feature with the cohort."""
        found = list(self.deviations(profile).values())
        return float(np.mean(found)) if found else 0.0

    def distance(self, profile: Mapping[str, float]) -> float:
        """Return how far a case is from the cohort; 1 is as far as its farthest case is from the others."""
        return self.raw(profile) / self.farthest if self.farthest else 0.0

    def rounded(self, decimals: int) -> "Cohort":
        """Return the cohort with fewer digits."""
        middle, scale, *profiles = (
            {name: round(value, decimals) for name, value in of.items()}
            for of in (self.middle, self.scale, *self.profiles)
        )
        farthest = round(self.farthest, decimals)
        return Cohort(cases=self.cases, middle=middle, scale=scale, farthest=farthest, profiles=profiles)
