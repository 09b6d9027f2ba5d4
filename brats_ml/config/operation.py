"""The sections on operation: the gate for new models, and the schedules of Airflow."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from brats_ml.config.section import Count, Section


class SegmentationGate(Section):
    """Thresholds for a segmentation model on the locked test cases."""

    minimum_cases: Count
    minimum_dice: dict[Literal["WT", "TC", "ET"], Annotated[float, Field(ge=0, le=1)]]
    non_inferiority: Annotated[float, Field(ge=0, le=1)]


class SurvivalGate(Section):
    """Thresholds for a survival model on the locked test patients."""

    minimum_cases: Count
    minimum_gain: Annotated[float, Field(ge=-1, le=1)]


class Gate(Section):
    """Conditions for a new champion."""

    segmentation: SegmentationGate
    survival: SurvivalGate
    minimum_paired: Annotated[int, Field(ge=2)]
    resamples: Annotated[int, Field(ge=100)]
    seed: Annotated[int, Field(ge=0)]


class Orchestration(Section):
    """Schedules of Airflow, and how long it waits for approval and keeps runs."""

    watch: Annotated[str, Field(min_length=1)] | None
    score: Annotated[str, Field(min_length=1)] | None
    shard_cases: Count
    most_shards: Count = 1000
    approval_hours: Annotated[float, Field(gt=0)]
    keep_days: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _keep_what_waits(self) -> Self:
        if 24 * self.keep_days < self.approval_hours:
            raise ValueError(
                "keep_days must not be less than approval_hours, or a run could be removed while it waits for approval"
            )
        return self
