"""The section on quality control: when the prediction of an unseen case needs a review."""

from typing import Annotated, Literal

from pydantic import Field

from brats_ml.config.section import Count, Fraction, Section

Share = Annotated[float, Field(ge=0, le=1)]
Measure = Literal["brain_share", "scattered_share", "hole_share", "mirrored_share", "unnested_share"]

LARGEST: dict[Measure, float] = {
    "brain_share": 0.3,
    "scattered_share": 0.4,
    "hole_share": 0.05,
    "mirrored_share": 0.8,
    "unnested_share": 0.2,
}


class Quality(Section):
    """When the prediction of an unseen case needs a review.

    Attributes:
        review_below: The expected mean Dice below which a person looks at the case.
        coverage: The share of cases with their true volume in the interval.
        fitted_on: Held-out cases from which on the decay of the score is fitted to their Dice.
        profiled: The most training cases with intensities and volumes to compare a case with.
        largest_distance: The distance of a case from them; 1 is as far as the farthest of them is from the others.
        largest: The limit of each measure of `imaging.quality.plausibility`.
    """

    review_below: Share = 0.7
    coverage: Fraction = 0.9
    fitted_on: Count = 10
    profiled: Annotated[int, Field(ge=3)] = 200
    largest_distance: Annotated[float, Field(gt=0)] = 1.5
    largest: dict[Measure, Share] = LARGEST
