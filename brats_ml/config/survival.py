"""The sections on survival: features, models and their cross-validation."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from brats_ml.config.section import Count, Name, Section
from brats_ml.errors import ConfigError
from brats_ml.near_names import check_known, did_you_mean

Estimator = Literal["random_forest", "svm", "knn", "cox", "age", "random_survival_forest"]
Masks = Literal["reference", "predicted"]
Value = float | int | str


def check_masks(name: str) -> None:
    """Refuse a kind of label maps that does not exist.

    Raises:
        ConfigError: There is no such kind.
    """
    check_known(name, get_args(Masks), what="masks", key="--masks")


class Features(Section):
    """The recipe that predicts the masks for survival features."""

    predicted_by: Name


class Span(Section):
    """All whole numbers from `first` to `last`."""

    first: int
    last: int

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if self.last < self.first:
            raise ValueError("last must not be below first")
        return self


class Survival(Section):
    """The survival models and their cross-validation."""

    protocol: Literal["nested", "baseline"]
    features_from: str | None
    masks: Masks
    features: list[Literal["shape", "location"]]
    cohort: Literal["all", "gtr"]
    limits_days: Annotated[list[Annotated[int, Field(gt=0)]], Field(min_length=2, max_length=2)]
    estimators: Annotated[list[Estimator], Field(min_length=1)]
    folds: Annotated[int, Field(ge=2)]
    repeats: Count
    jobs: Annotated[int, Field(ge=-1)]
    minimum_patients: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0)]
    grids: dict[Estimator, dict[str, Annotated[list[Value], Field(min_length=1)] | Span]]

    @model_validator(mode="after")
    def _limits_ascend_and_grids_exist(self) -> Self:
        short, long = self.limits_days
        if short >= long:
            raise ValueError("limits_days must ascend")
        missing = [name for name in self.estimators if name not in self.grids]
        if missing:
            raise ValueError(f"grids has no entry for {', '.join(missing)}")
        if self.protocol == "baseline" and self.masks != "reference":
            raise ValueError("protocol baseline needs reference masks: set masks to reference, or protocol to nested")
        if self.jobs == 0:
            raise ValueError("jobs cannot be 0: set a number of processes, or -1 for one per core")
        if self.features and self.features_from is not None:
            raise ValueError(
                f"features names {', '.join(self.features)}, which the table of features_from does not have; "
                "set features to [], or features_from to null"
            )
        return self

    def check_estimator(self, name: str) -> None:
        """Refuse an estimator that `survival.estimators` does not name.

        Raises:
            ConfigError: It does not name this one.
        """
        if name not in self.estimators:
            near = did_you_mean(name, self.estimators)
            raise ConfigError(
                f"estimator {name} is not one of survival.estimators in params.yaml{near}", key="survival.estimators"
            )

    def grid(self, estimator: Estimator) -> dict[str, list[Value]]:
        """Return the values to try for each parameter of an estimator."""
        return {
            name: list(range(values.first, values.last + 1)) if isinstance(values, Span) else values
            for name, values in self.grids[estimator].items()
        }
