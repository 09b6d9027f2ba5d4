"""params.yaml as frozen, strict, typed sections; unknown keys and values out of range are errors."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from brats_ml.config.data import Acquire, Phantom, Split, Validate
from brats_ml.config.operation import Gate, Orchestration
from brats_ml.config.recipes import Recipe
from brats_ml.config.renamed import refuse_old_names, refuse_old_recipe
from brats_ml.config.section import Name, Section
from brats_ml.config.segmentation import Evaluate, Plan, Train
from brats_ml.config.survival import Features, Survival
from brats_ml.errors import ConfigError, MissingInputError
from brats_ml.redaction import redacted


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
    features: Features
    survival: Survival
    gate: Gate
    orchestration: Orchestration

    @model_validator(mode="after")
    def _validation_knows_phantoms(self) -> Self:
        if self.validate_.phantom_shape is not None:
            raise ValueError("validate.phantom_shape is not a key; set phantom.shape")
        known = self.validate_.model_copy(update={"phantom_shape": tuple(self.phantom.shape)})
        return self.model_copy(update={"validate_": known})

    @model_validator(mode="after")
    def _named_recipes_exist(self) -> Self:
        for name in self.train.recipes:
            if name not in self.recipes:
                raise ValueError(f"train.recipes names {name}, which has no section in recipes")
        if self.features.predicted_by not in self.train.recipes:
            raise ValueError(
                f"features.predicted_by is {self.features.predicted_by}, which train.recipes does not name "
                f"({', '.join(self.train.recipes)}); set both together"
            )
        return self

    def recipe(self, name: str) -> Recipe:
        """Return the section of one recipe.

        Raises:
            ConfigError: No such recipe is declared.
        """
        if name not in self.recipes:
            refuse_old_recipe(name, key="recipes")
            known = ", ".join(sorted(self.recipes))
            raise ConfigError(f"recipe {name} is not declared in params.yaml; declared are: {known}", key="recipes")
        return self.recipes[name]


def parse(document: Any) -> Params:
    """Return the typed parameters of a parsed params.yaml.

    Raises:
        ConfigError: A key is wrong; the sentence names the first such key and what is wrong with it.
    """
    refuse_old_names(document)
    try:
        return Params.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(_keys(first["loc"])) or "(top)"
        found = "" if isinstance(first["input"], dict) else f", found {redacted(repr(first['input']))}"
        reason = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"params.yaml, key {key}: {reason}{found}", key=key) from error


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that lead to a value; pydantic adds the method of a recipe after the recipe's name."""
    keys = [str(part) for part in location]
    return keys[:2] + keys[3:] if keys[:1] == ["recipes"] else keys


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
