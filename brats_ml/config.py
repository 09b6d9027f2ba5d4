"""params.yaml as frozen, strict, typed sections; an unknown key or a value out of range is an error."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from brats_ml.cohort.modalities import Modality
from brats_ml.cohort.severity import NEVER_NOTED, Check, Severity
from brats_ml.cohort.source_address import PHANTOM, parse_address, redacted
from brats_ml.errors import ConfigError, MissingInputError

Fraction = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Estimator = Literal["random_forest", "svm", "knn"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class Section(BaseModel):
    """A frozen section that refuses unknown keys and silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _has_a_known_form(source: str) -> str:
    if source != PHANTOM:
        parse_address(source)
    return source


class Acquire(Section):
    """Where the cohort comes from; `cohort/source_address.py` has the forms."""

    source: Annotated[str, AfterValidator(_has_a_known_form)]


class Phantom(Section):
    """The synthetic cohort."""

    cases: Annotated[int, Field(ge=1, le=1000)]
    shape: Annotated[list[Annotated[int, Field(ge=32, le=512)]], Field(min_length=3, max_length=3)]
    seed: Annotated[int, Field(ge=0)]


class Validate(Section):
    """What a case must fulfil to come in."""

    spacing_mm: Annotated[float, Field(gt=0)]
    spacing_tolerance: Annotated[float, Field(ge=0)]
    minimum_size: Count
    maximum_size: Count
    grid_tolerance_mm: Annotated[float, Field(ge=0)]
    oblique_degrees: Annotated[float, Field(ge=0, lt=45)]
    largest_intensity: Annotated[float, Field(gt=0)]
    minimum_brain_share: Annotated[float, Field(ge=0, lt=1)]
    minimum_levels: Count
    negative_share: Annotated[float, Field(ge=0, le=1)]
    mask_agreement: Annotated[float, Field(ge=0, le=1)]
    outside_brain_share: Annotated[float, Field(ge=0, le=1)]
    minimum_valid_share: Annotated[float, Field(ge=0, le=1)]
    severity: dict[Check, Severity]

    @model_validator(mode="after")
    def _keeps_out_what_cannot_be_used(self) -> Self:
        for check in NEVER_NOTED:
            if self.severity.get(check) == "info":
                raise ValueError(f"severity of {check} cannot be info, since such a case cannot be preprocessed")
        return self


class Split(Section):
    """Shares of the patients held out."""

    validation: Fraction
    test: Fraction
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _leaves_patients_to_train(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must stay below 1")
        return self


class Train(Section):
    """Which recipes are trained, and how repeatably."""

    recipes: Annotated[list[Name], Field(min_length=1)]
    seed: Annotated[int, Field(ge=0)]
    deterministic: bool


class Slices(Section):
    """The axial slices a 2D recipe sees: `count` of them from `first`, or all that follow."""

    first: Annotated[int, Field(ge=0)]
    count: Count | None


class Plateau(Section):
    """When the learning rate falls: after `patience` epochs without a lower validation loss."""

    factor: Fraction
    patience: Annotated[int, Field(ge=0)]
    minimum: Annotated[float, Field(ge=0)]


class Recipe(Section):
    """One way to train a segmentation network."""

    modalities: Annotated[list[Modality], Field(min_length=1)]
    size: Annotated[int, Field(ge=16)]
    slices: Slices
    filters: Annotated[list[Count], Field(min_length=2)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    plateau: Plateau
    epochs: Count

    @model_validator(mode="after")
    def _size_can_be_halved(self) -> Self:
        step = 2 ** (len(self.filters) - 1)
        if self.size % step:
            raise ValueError(f"size must be a multiple of {step}, since {len(self.filters)} levels halve it")
        return self


class Evaluate(Section):
    """What the evaluation shows."""

    figures: Annotated[int, Field(ge=0)]


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


class SegmentationGate(Section):
    """What a segmentation model must reach on the locked test cases."""

    minimum_cases: Count
    minimum_dice: dict[Literal["WT", "TC", "ET"], Annotated[float, Field(ge=0, le=1)]]
    non_inferiority: Annotated[float, Field(ge=0, le=1)]


class SurvivalGate(Section):
    """What a survival model must reach on the locked test patients."""

    minimum_cases: Count
    minimum_gain: Annotated[float, Field(ge=-1, le=1)]


class Gate(Section):
    """What may become champion."""

    segmentation: SegmentationGate
    survival: SurvivalGate
    minimum_paired: Annotated[int, Field(ge=2)]
    resamples: Annotated[int, Field(ge=100)]
    seed: Annotated[int, Field(ge=0)]


class Orchestration(Section):
    """When Airflow starts by itself, and for how long it waits and keeps."""

    watch: Annotated[str, Field(min_length=1)] | None
    score: Annotated[str, Field(min_length=1)] | None
    shard_cases: Count
    approval_hours: Annotated[float, Field(gt=0)]
    keep_days: Annotated[float, Field(ge=0)]

    @model_validator(mode="after")
    def _keep_what_waits(self) -> Self:
        if 24 * self.keep_days < self.approval_hours:
            raise ValueError("keep_days is less than approval_hours, so a run could be removed while it waits")
        return self


class Params(Section):
    """The whole of params.yaml."""

    acquire: Acquire
    phantom: Phantom
    validate_: Annotated[Validate, Field(alias="validate")]
    split: Split
    train: Train
    recipes: dict[Name, Recipe]
    evaluate: Evaluate
    features: Features
    survival: Survival
    gate: Gate
    orchestration: Orchestration

    @model_validator(mode="after")
    def _named_recipes_exist(self) -> Self:
        for name in self.train.recipes:
            if name not in self.recipes:
                raise ValueError(f"recipe {name} is named but has no section in recipes")
        if self.features.predicted_by not in self.train.recipes:
            raise ValueError(
                f"features.predicted_by is {self.features.predicted_by}, which is not one of train.recipes "
                f"({', '.join(self.train.recipes)}); set both together"
            )
        return self

    def recipe(self, name: str) -> Recipe:
        """Return the section of one recipe.

        Raises:
            ConfigError: No such recipe is declared.
        """
        if name not in self.recipes:
            known = ", ".join(sorted(self.recipes))
            raise ConfigError(f"recipe {name} is not declared in params.yaml; declared are: {known}", key="recipes")
        return self.recipes[name]


def parse(document: Any) -> Params:
    """Return the typed parameters of a parsed params.yaml.

    Raises:
        ConfigError: Names the first offending key and what is wrong with it.
    """
    try:
        return Params.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top)"
        found = "" if isinstance(first["input"], dict) else f", found {redacted(repr(first['input']))}"
        reason = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"params.yaml, key {key}: {reason}{found}", key=key) from error


def load(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        MissingInputError: There is no such file.
        ConfigError: It is not YAML, or a key is wrong.
    """
    if not path.is_file():
        raise MissingInputError(path, remedy="run brats in a checkout that has a params.yaml, or name one with --root")
    try:
        document = YAML(typ="safe").load(path)
    except YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {str(error).splitlines()[0]}", key="(top)") from error
    return parse(document)
