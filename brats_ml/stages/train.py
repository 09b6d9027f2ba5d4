"""Fit one recipe; a killed training goes on from its last checkpoint, in the same MLflow run."""

from pathlib import Path
from typing import Any

import keras
import pandas as pd
from filelock import FileLock

from brats_ml.adapters import checkpoints, files, provenance, tracking
from brats_ml.adapters.keras_files import write_model
from brats_ml.cohort.labels import label_scheme
from brats_ml.config import Params
from brats_ml.config.recipes import RegionsRecipe, SeedRecipe
from brats_ml.errors import ConfigError
from brats_ml.stages import train_regions, train_seed
from brats_ml.stages.cohort_parts import labelled_cases
from brats_ml.stages.plan import planned_recipe
from brats_ml.stages.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params, *, recipe: str) -> Report:
    """Train `recipe` on the training patients and write its folder.

    A cohort without reference label maps is ordinary: the folder then holds the verdict "not trained" and no model.
    """
    params.recipe(recipe)
    if recipe not in params.train.recipes:
        raise ConfigError(f"recipe {recipe} is not one of train.recipes in params.yaml; add it", key="train.recipes")
    parts = labelled_cases(ws)
    if not parts["train"]:
        reason = "no training case has a reference label map"
        with files.replacing(ws.model(recipe)) as folder:
            files.write_json(folder / "verdict.json", {"verdict": f"not trained: {reason}"})
        return Report("train", f"{recipe} not trained, since {reason}")

    chosen = planned_recipe(ws, recipe)
    key = provenance.work_key(ws.root, f"train@{recipe}")
    folder = ws.checkpoints(key)
    folder.mkdir(parents=True, exist_ok=True)
    tracker = tracking.MlflowTracker(tracking.address(ws.state))
    tags = {"brats.stage": f"train@{recipe}", "brats.recipe": recipe, **provenance.origin(ws.root)}
    with FileLock(folder / ".lock"), tracker.run(key, name=f"train {recipe}", tags=tags) as tracked:
        settings = params.train.model_dump(exclude={"recipes"})
        tracked.log_params({"recipe": recipe, **settings, **tracking.flat(chosen.model_dump())})
        digest = provenance.data_digest(ws.root)
        if digest is not None:
            tracked.log_dataset(name="data/raw", digest=digest, context="training")
        method = train_seed if isinstance(chosen, SeedRecipe) else train_regions
        with tracker.system_metrics(tracked):
            network, history = method.fit(
                chosen, params.train, cases=ws.preprocessed, parts=parts, folder=folder, tracked=tracked
            )
        write(ws.model(recipe), network, history, chosen, {"verdict": "trained", "key": key, "cases": parts})
    page = tracker.page(tracked.run_id)
    done = f"{recipe} trained for {len(history)} epoch(s), loss {history[-1]['loss']:.4f}"
    return Report("train", done, links={"MLflow": page} if page else {})


def write(
    folder: Path,
    network: keras.Model,
    history: checkpoints.History,
    recipe: SeedRecipe | RegionsRecipe,
    verdict: dict[str, Any],
) -> None:
    """Write the folder of a trained recipe: everything that predicting with it needs, and how it came to be."""
    with files.replacing(folder) as unfinished:
        write_model(unfinished / "model.keras", network)
        files.write_json(unfinished / "recipe.json", recipe.model_dump())
        files.write_json(unfinished / "labels.json", label_scheme())
        # A history read back from a checkpoint has its columns in another order.
        files.write_csv(unfinished / "history.csv", pd.DataFrame(history).sort_index(axis="columns"))
        files.write_json(unfinished / "verdict.json", verdict)
