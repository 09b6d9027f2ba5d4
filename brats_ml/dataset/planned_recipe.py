"""The recipe that `brats plan` completed."""

from pydantic import TypeAdapter

from brats_ml import files
from brats_ml.config import Params
from brats_ml.config.differences import leaves
from brats_ml.config.recipes import Recipe
from brats_ml.errors import ConfigError
from brats_ml.workspace import Workspace


def planned_recipe(ws: Workspace, params: Params, recipe: str) -> Recipe:
    """Return the recipe that `brats plan` completed.

    Raises:
        MissingInputError: It is not planned yet.
        ConfigError: The recipe changed after it was planned.
    """
    plan = ws.plan(recipe)
    stored = files.read_json(plan)["recipe"]
    planned_values = dict(leaves(stored))
    for name, value in leaves(params.recipe(recipe).model_dump()):
        if value is not None and planned_values.get(name) != value:
            key = f"recipes.{recipe}.{name}"
            raise ConfigError(
                f"{key} has another value in params.yaml than in {plan}: run `{plan.made_by}` again", key=key
            )
    planned: Recipe = TypeAdapter(Recipe).validate_python(stored)
    return planned
