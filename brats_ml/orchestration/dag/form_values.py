"""Which values the fields of the DAGs' forms may have."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, create_model, field_validator

from brats_ml.cohort.source_address import S3, parse_address
from brats_ml.config.section import Count, Section
from brats_ml.config.segmentation import PresetName
from brats_ml.config.sentences import explain
from brats_ml.errors import ConfigError

Text = Annotated[str, Field(min_length=1)]
ModelName = Literal["brats-segmentation", "brats-survival"]


class Form(Section):
    """Values of the fields that all forms have."""

    revision: Text

    @field_validator("revision")
    @classmethod
    def _is_no_option(cls, revision: str) -> str:
        if revision.startswith("-"):
            raise ValueError("must not begin with a hyphen")
        return revision


class CohortForm(Form):
    """Values of the form of brats_cohort."""

    source: Text | None


class TrainForm(CohortForm):
    """Values of the form of brats_train; None leaves params.yaml as it is."""

    recipes: Annotated[list[str], Field(min_length=1)] | None
    epochs: Count | None
    folds: Annotated[int, Field(ge=2)] | None
    approval: bool
    set: list[str] | None

    @field_validator("recipes")
    @classmethod
    def _names_none_twice(cls, recipes: list[str] | None) -> list[str] | None:
        twice = next((name for name in recipes or () if (recipes or []).count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"names {twice} twice")
        return recipes


class ScoreForm(Form):
    """Values of the form of brats_score."""

    cases: Text
    output: Text
    preset: PresetName | None
    probabilities: bool

    @field_validator("cases")
    @classmethod
    def _has_a_form_of_address(cls, cases: str) -> str:
        if cases.startswith(S3):
            parse_address(cases)
        return cases


class RollbackForm(Form):
    """Values of the form of brats_rollback."""

    model: ModelName
    version: Count | None
    reason: Text | None


class ReproduceForm(Section):
    """Values of the form of brats_reproduce, which has no revision: each version has its own."""

    model: ModelName | None
    version: Count | None
    train: bool

    @field_validator("version")
    @classmethod
    def _is_of_a_model(cls, version: int | None, found: ValidationInfo) -> int | None:
        if version is not None and found.data.get("model") is None:
            raise ValueError("needs the name of its model")
        return version


def train_form(recipes: Iterable[str]) -> type[TrainForm]:
    """Return the form of brats_train where a user may choose from these recipes."""
    choice: Any = Literal[tuple(recipes)]
    chosen: Any = Annotated[list[choice], Field(min_length=1)] | None
    return create_model("TrainForm", __base__=TrainForm, recipes=(chosen, ...))


def check(values: Mapping[str, Any], form: type[Section], *, name: str) -> None:
    """Check the values of a form.

    Args:
        values: By field.
        form: The fields and what each of them allows.
        name: The DAG.

    Raises:
        ConfigError: A value is not valid, or there is no such field.
    """
    try:
        form.model_validate(dict(values))
    except ValidationError as error:
        field, reason = explain(error, form, dict(values))
        raise ConfigError(f"form of {name}, field {field}: {reason}", key=field) from error
