"""Derive what a region recipe leaves open: patch, batch and depth; warn of a recipe that is too coarse."""

from typing import Any

import numpy as np
from pydantic import ValidationError

from brats_ml import files
from brats_ml.adapters.case_files.array_file import read_case, read_shape
from brats_ml.config import Params
from brats_ml.config.recipes import BaselineRecipe, EnsembleRecipe, Recipe, RegionsRecipe
from brats_ml.config.sentences import explain
from brats_ml.dataset.partition import labelled_cases
from brats_ml.errors import ConfigError
from brats_ml.report import Report
from brats_ml.segmentation import devices
from brats_ml.segmentation.training import planning
from brats_ml.workspace import Workspace

# The baseline shrinks slices of 240 pixels to 128, by 1.9, and loses thin parts of a tumour already.
COARSE = 2.0


def run(ws: Workspace, params: Params, *, recipe: str) -> Report:
    """Write the completed recipe, and the figures that its values were derived from.

    Values that params.yaml states stay as they are.
    """
    chosen = params.recipe(recipe)
    if isinstance(chosen, BaselineRecipe) or not chosen.left_open:
        files.write_json(ws.plan(recipe), {"recipe": chosen.model_dump(), "derived_from": {}})
        coarse = _coarse(ws, chosen) if isinstance(chosen, BaselineRecipe) else ""
        return Report("plan", f"{recipe} leaves nothing open{coarse}")
    planned: Recipe
    if isinstance(chosen, EnsembleRecipe):
        made = {
            name: _planned(ws, params, member, key=f"recipes.{recipe}.members.{name}")
            for name, member in chosen.members.items()
        }
        planned = chosen.model_copy(update={"members": {name: member for name, (member, _) in made.items()}})
        reasons = {name: of for name, (_, of) in made.items()}
        sizes = "; ".join(f"{name} {_sizes(member)}" for name, (member, _) in made.items())
    else:
        planned, reasons = _planned(ws, params, chosen, key=f"recipes.{recipe}")
        sizes = _sizes(planned)
    files.write_json(ws.plan(recipe), {"recipe": planned.model_dump(), "derived_from": reasons})
    return Report("plan", f"{recipe}: {sizes}")


def _sizes(planned: RegionsRecipe) -> str:
    patch, filters = "x".join(map(str, planned.patch or ())), "-".join(map(str, planned.filters or ()))
    return f"patch {patch}, {planned.batch} a step, filters {filters}"


def _coarse(ws: Workspace, recipe: BaselineRecipe) -> str:
    """Return a warning if a pixel of the resized slices covers more than `COARSE` pixels along an axis."""
    cases = labelled_cases(ws)["train"]
    if not cases:
        return ""
    rows, columns, _ = read_case(ws.preprocessed.case(cases[0])).full_shape
    if max(rows, columns) <= COARSE * recipe.size:
        return ""
    return (
        f". WARNING: it shrinks slices of {rows} x {columns} pixels to {recipe.size} x {recipe.size}, so it misses "
        'small tumours: for these cases set "train.recipes=[regions2d]" and features.predicted_by=regions2d'
    )


def _planned(ws: Workspace, params: Params, recipe: RegionsRecipe, *, key: str) -> tuple[RegionsRecipe, dict[str, Any]]:
    """Return a completed region recipe and the figures behind its values; `key` is that of its section.

    Raises:
        ConfigError: The patch does not fit the network that was planned for it.
    """
    cases = labelled_cases(ws)["train"]
    shapes = [read_shape(ws.preprocessed.case(case_id)) for case_id in cases]
    crop = [int(size) for size in np.median(shapes, axis=0)] if shapes else [64, 64, 64]
    found = devices.chosen_devices(params.train.device, params.train.devices)
    on_gpu = devices.are_gpus(found)
    memory = int(devices.memory_bytes(found) * params.plan.memory_share)
    made = planning.plan(
        crop,
        dimensions=recipe.dimensions,
        stem=recipe.stem,
        memory_bytes=memory,
        most_voxels=None if on_gpu else params.plan.cpu_voxels,
        precision=params.train.precision,
        patch=recipe.patch,
        batch=recipe.batch,
        filters=recipe.filters,
    )
    resolved = {"patch": list(made.patch), "batch": made.batch, "filters": list(made.filters)}
    reasons = {
        "cases": len(cases),
        "median_crop": crop,
        "device": "gpu" if on_gpu else "cpu",
        "memory_gib": round(memory / 2**30, 1),
        "step_gib": round(made.step_bytes / 2**30, 2),
    }
    try:
        return RegionsRecipe.model_validate(recipe.model_dump() | resolved), reasons
    except ValidationError as error:
        _, reason = explain(error, RegionsRecipe, recipe.model_dump())
        patch = f"{key}.patch"
        raise ConfigError(f"{patch} does not fit the network that was planned for it: {reason}", key=patch) from error
