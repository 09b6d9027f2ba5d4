"""params.yaml as frozen, strict, typed sections; unknown keys and values out of range are errors."""

import json
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from brats_ml.cohort.modalities import MODALITIES, Modality
from brats_ml.config.data import Acquire, Phantom, Split, Validate
from brats_ml.config.operation import Drift, FollowUp, Gate, Orchestration, Rollback
from brats_ml.config.quality import Quality
from brats_ml.config.recipes import Recipe
from brats_ml.config.renamed import refuse_old_names, refuse_old_recipe
from brats_ml.config.section import Name, Section
from brats_ml.config.segmentation import Evaluate, Plan, Train
from brats_ml.config.sentences import explain
from brats_ml.config.study import Study
from brats_ml.config.survival import Features, Survival
from brats_ml.errors import ConfigError, MissingInputError
from brats_ml.near_names import did_you_mean
from brats_ml.redaction import redacted

# The key of a mistake that concerns the whole of params.yaml.
MOST_VALUES = 100_000
TOP = "(top)"


class Params(Section):
    """The whole of params.yaml."""

    acquire: Acquire
    phantom: Phantom
    validate_: Annotated[Validate, Field(alias="validate")]
    split: Split
    plan: Plan
    train: Train
    recipes: dict[Name, Recipe]
    evaluate: Evaluate
    qc: Quality = Quality()
    features: Features
    survival: Survival
    gate: Gate
    rollback: Rollback = Rollback()
    drift: Drift = Drift()
    follow_up: FollowUp = FollowUp()
    study: Study = Study()
    orchestration: Orchestration

    @model_validator(mode="after")
    def _validation_knows_phantoms(self) -> Self:
        if self.validate_.phantom_shape not in (None, self.phantom.shape):
            raise ValueError("validate.phantom_shape is the value of phantom.shape; set that key alone")
        known = self.validate_.model_copy(update={"phantom_shape": self.phantom.shape})
        return self.model_copy(update={"validate_": known})

    @model_validator(mode="after")
    def _named_recipes_exist(self) -> Self:
        for name in self.train.recipes:
            if name not in self.recipes:
                near = did_you_mean(name, self.recipes)
                raise ValueError(f"train.recipes names {name}, which has no section in recipes{near}")
        if self.features.predicted_by not in self.train.recipes:
            raise ValueError(
                f"features.predicted_by is {self.features.predicted_by}, which train.recipes does not name "
                f"({', '.join(self.train.recipes)}); set both together"
            )
        return self

    @property
    def needed_modalities(self) -> list[Modality]:
        """The modalities that the recipes in `train.recipes` read, which every case of the cohort needs."""
        read = {modality for name in self.train.recipes for modality in self.recipes[name].modalities}
        return [modality for modality in MODALITIES if modality in read]

    def recipe(self, name: str) -> Recipe:
        """Return the section of one recipe.

        Raises:
            ConfigError: No such recipe is declared.
        """
        if name not in self.recipes:
            refuse_old_recipe(name, key="recipes")
            near = did_you_mean(name, sorted(self.recipes))
            raise ConfigError(f"recipe {name} is not declared in params.yaml{near}", key="recipes")
        return self.recipes[name]

    def trained_recipe(self, name: str) -> Recipe:
        """Return the section of one recipe of `train.recipes`.

        Raises:
            ConfigError: No such recipe is declared, or `train.recipes` does not name it.
        """
        recipe = self.recipe(name)
        if name not in self.train.recipes:
            names = json.dumps([*self.train.recipes, name])
            raise ConfigError(
                f"recipe {name} is not one of train.recipes in params.yaml: add it, by "
                f"`brats set 'train.recipes={names}'`",
                key="train.recipes",
            )
        return recipe


def parse(document: Any) -> Params:
    """Return the typed parameters of a parsed params.yaml.

    Raises:
        ConfigError: A key is wrong; the sentence names the first such key and what is wrong with it.
    """
    refuse_old_names(document)
    try:
        return Params.model_validate(document)
    except ValidationError as error:
        key, reason = explain(error, Params, document)
        sentence = f"params.yaml, key {key}: {reason}" if key else f"params.yaml: {reason}"
        raise ConfigError(redacted(sentence), key=key or TOP) from error


def require_params(path: Path) -> None:
    """Refuse a folder without params.yaml, which is no checkout.

    Raises:
        MissingInputError: There is no such file.
    """
    if not path.exists():
        raise MissingInputError(path, remedy="run brats in a checkout that has a params.yaml, or name one with --root")


def load(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        MissingInputError: There is no such file.
        ConfigError: It is not YAML, or a key is wrong.
    """
    return parse(read_document(path))


def read_document(path: Path) -> Any:
    """Return the sections and values of a params.yaml as they are written; their keys are not checked.

    Raises:
        MissingInputError: There is no such file.
        ConfigError: It is not YAML, or too deep or too large.
    """
    require_params(path)
    try:
        document = YAML(typ="safe").load(path)
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {_yaml_problem(error)}", key=TOP) from error
    except RecursionError as error:
        raise ConfigError(f"{path} is not valid: it is nested too deeply", key=TOP) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}): grant read permission", key=TOP) from error
    if _values(document, {}) > MOST_VALUES:
        raise ConfigError(f"{path} has aliases that repeat more than {MOST_VALUES:,} values: write them out", key=TOP)
    return document


def _values(part: Any, known: dict[int, int]) -> int:
    """Return how many values a document has with all aliases written out; `known` has the parts counted before."""
    if not isinstance(part, dict | list):
        return 1
    if id(part) not in known:
        known[id(part)] = MOST_VALUES + 1  # of a part that has itself as a part
        known[id(part)] = (
            sum(_values(inner, known) for inner in (part.values() if isinstance(part, dict) else part)) + 1
        )
    return known[id(part)]


def _yaml_problem(error: YAMLError | UnicodeDecodeError) -> str:
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {_plain_problem(error)}"
    return "it has bytes that are not text in UTF-8"


def _plain_problem(error: MarkedYAMLError) -> str:
    """Return what is wrong, without the terms of the YAML parser."""
    if isinstance(error, DuplicateKeyError):
        return str(error.problem).partition(" with value")[0] + ": keep one of them"
    problem = str(error.problem or error.context).splitlines()[0]
    return "it has a tab; indent by spaces" if "'\\t'" in problem else problem
