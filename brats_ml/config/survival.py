"""The sections on survival: features, classifiers, and how they are judged."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from brats_ml.config.section import Count, Name, Section

Estimator = Literal["random_forest", "svm", "knn"]


class Features(Section):
    """Whose predicted masks make survival features."""

    predicted_by: Name


class Survival(Section):
    """The survival classifiers and how they are judged."""

    features_from: str | None
    cohort: Literal["all", "gtr"]
    limits_days: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2, max_length=2)]
    estimators: Annotated[list[Estimator], Field(min_length=1)]
    folds: Annotated[int, Field(ge=2)]
    repeats: Count
    minimum_patients: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0)]
    grids: dict[Estimator, dict[str, list[float | int | str]]]

    @model_validator(mode="after")
    def _limits_ascend_and_grids_exist(self) -> Self:
        short, long = self.limits_days
        if short >= long:
            raise ValueError("limits_days must ascend")
        missing = [name for name in self.estimators if name not in self.grids]
        if missing:
            raise ValueError(f"grids has no entry for {', '.join(missing)}")
        return self
