"""Region recipes with the plan of `brats plan` for CPUs, float32 and brains of the true size."""

from _frame import ROOT

from brats_ml.config import load
from brats_ml.config.recipes import RegionsRecipe
from brats_ml.segmentation.inference.presets import TYPICAL_BRAIN
from brats_ml.segmentation.training import planning

MEMORY = 2**33


def planned(name: str) -> RegionsRecipe:
    """Return a region recipe of params.yaml with patch, batch and filters."""
    params = load(ROOT / "params.yaml")
    recipe = params.recipe(name)
    if not isinstance(recipe, RegionsRecipe):
        raise TypeError(f"{name} is not a region recipe")
    made = planning.plan(
        TYPICAL_BRAIN,
        dimensions=recipe.dimensions,
        stem=recipe.stem,
        memory_bytes=MEMORY,
        most_voxels=params.plan.cpu_voxels,
        precision="float32",
    )
    return recipe.model_copy(update={"patch": list(made.patch), "batch": made.batch, "filters": list(made.filters)})
