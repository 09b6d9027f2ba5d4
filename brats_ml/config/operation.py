"""The sections on operation: the gate for new models, and the schedules of Airflow."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from brats_ml.config.section import Count, Fraction, Section

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Comparison(Section):
    """Thresholds of the paired comparison with a champion; see `brats_ml.promotion.Comparison`."""

    level: Fraction
    half_level_looks: Positive
    largest_difference: Positive
    largest_loss: Annotated[float, Field(ge=0)]
    fall: Annotated[float, Field(ge=0)]
    fallen_share: Share


class SegmentationFloors(Section):
    """Conditions for a segmentation model on the locked test cases, whether or not there is a champion."""

    minimum_cases: Count
    minimum_dice: dict[Literal["WT", "TC", "ET", "RC", "CC"], Share]


class SurvivalFloors(Section):
    """Conditions for a survival model on the locked test patients, whether or not there is a champion."""

    minimum_cases: Count


class Floors(Section):
    """Conditions for models of one kind of patients."""

    segmentation: SegmentationFloors
    survival: SurvivalFloors
    approve_first: bool


class Gate(Section):
    """Conditions for a new champion."""

    segmentation: Comparison
    survival: Comparison
    fresh_cases: Count
    patients: Floors
    synthetic: Floors


class Rollback(Section):
    """How far a prediction of an earlier champion may differ from before on another kind of computer."""

    minimum_dice: Share = 0.99
    largest_difference: Share = 0.001


class Drift(Section):
    """When a batch of new cases raises an alarm.

    Attributes:
        level: The share of batches without a difference that may raise one.
        cases: The new cases that a batch needs.
    """

    level: Share = 0.05
    cases: Annotated[int, Field(ge=2)] = 8


class FollowUp(Section):
    """Which lesions are new at the later of two time points of a patient.

    Attributes:
        margin_mm: The largest distance at which a lesion belongs to one of the time point before.
        smallest_ml: The volume below which a part of a tumour is no lesion.
        brain_dice: The Dice of the brains at two time points, below which their scans are not aligned.
    """

    margin_mm: Annotated[float, Field(ge=0, le=50)] = 5.0
    smallest_ml: Annotated[float, Field(ge=0, le=100)] = 0.05
    brain_dice: Share = 0.9


class Orchestration(Section):
    """Schedules of Airflow, and how long it waits for approval and keeps runs."""

    watch: Annotated[str, Field(min_length=1)] | None
    score: Annotated[str, Field(min_length=1)] | None
    shard_cases: Count
    most_shards: Count = 1000
    preparation_shards: Annotated[int, Field(ge=0, le=1000)] = 0
    approval_hours: Annotated[float, Field(gt=0)]
    keep_days: Annotated[float, Field(ge=0)]
    janitor: Annotated[str, Field(min_length=1)] | None = None
    reproduce: Annotated[str, Field(min_length=1)] | None = None
    studies: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _keep_what_waits(self) -> Self:
        if 24 * self.keep_days < self.approval_hours:
            raise ValueError(
                "keep_days must not be less than approval_hours, or a run could be removed while it waits for approval"
            )
        return self
