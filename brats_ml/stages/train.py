"""Fit one recipe; a killed training resumes from its last checkpoint, in the same MLflow run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import pandas as pd

from brats_ml import files, locks
from brats_ml.adapters import provenance
from brats_ml.adapters.model_files import checkpoints
from brats_ml.adapters.tables import frames
from brats_ml.adapters.tracking import run_facts
from brats_ml.adapters.tracking.own_store import tracking_uri
from brats_ml.adapters.tracking.runs import Curves, MlflowRun, MlflowTracker
from brats_ml.adapters.tracking.training_run import TrainingRun
from brats_ml.cohort.folds import folds
from brats_ml.config import Params
from brats_ml.config.differences import leaves
from brats_ml.config.recipes import BaselineRecipe, EnsembleRecipe, Recipe, RegionsRecipe
from brats_ml.config.segmentation import Train
from brats_ml.dataset.label_sets import of_preprocessed
from brats_ml.dataset.partition import labelled_cases
from brats_ml.dataset.planned_recipe import planned_recipe
from brats_ml.errors import CohortError
from brats_ml.models.folder_writer import write_model_folder
from brats_ml.report import Report
from brats_ml.stages import train_baseline, train_regions
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder

FIT: dict[str, Callable[..., tuple[keras.Model, checkpoints.History]]] = {
    "baseline": train_baseline.fit,
    "regions": train_regions.fit,
}


def run(ws: Workspace, params: Params, *, recipe: str) -> Report:
    """Train `recipe` on the training patients and write its folder.

    A cohort may have no reference label map: the folder then holds the verdict "not trained" and no model.
    """
    params.trained_recipe(recipe)
    parts = labelled_cases(ws)
    if not parts["train"]:
        reason = "no training case has a reference label map"
        with files.replacing(ws.model(recipe)) as folder:
            files.write_json(ModelFolder(folder).verdict, {"verdict": f"not trained: {reason}"})
        frames.write_csv(ws.history(recipe), pd.DataFrame(columns=["epoch", "loss"]))
        return Report("train", f"{recipe} not trained: {reason}")

    chosen = planned_recipe(ws, params, recipe)
    key = provenance.work_key(ws.root, f"train@{recipe}")
    kept = ws.state.checkpoints(key)
    folder = kept.path
    tracker = MlflowTracker(tracking_uri(ws.state))
    holder = f"another process, which trains {recipe} on the same data"
    profile = run_facts.cohort_profile(ws)
    name = run_facts.run_name(f"train {recipe}", f"{chosen.epochs} epochs", run_facts.cohort_name(profile), key=key)
    tags = run_facts.origin_tags(ws, f"train@{recipe}", made_by=ws.model(recipe).made_by)
    run = tracker.run(key, name=name, tags={"brats.recipe": recipe, **tags}, kind=TrainingRun)
    with locks.exclusive(kept.lock, holder=holder), run as tracked:
        settings = params.train.model_dump(exclude={"recipes"})
        tracked.log_params({"recipe": recipe, **settings, **dict(leaves(chosen.model_dump()))})
        run_facts.log_cohort(ws, profile, tracked)
        verdict = {"verdict": "trained", "key": key, "cases": parts}
        with tracker.system_metrics(tracked):
            fold_of = training_folds(ws, params, parts["train"]) if params.train.folds else {}
            if fold_of:
                verdict["folds"] = fold_of
            networks, history = _fit_members(
                ws, params, chosen, parts=parts, fold_of=fold_of, folder=folder, tracked=tracked
            )
        # A history that was read from a checkpoint has its columns in another order.
        frames.write_csv(ws.history(recipe), pd.DataFrame(history).sort_index(axis="columns"))
        write_model_folder(ws.model(recipe), networks, chosen, verdict, of_preprocessed(ws.preprocessed))
    page = tracker.page(tracked.run_id)
    done = f"{recipe} trained for {len(history)} epoch(s), loss {history[-1]['loss']:.4f}"
    return Report("train", done, links={"MLflow": page} if page else {})


def fit(
    recipe: BaselineRecipe | RegionsRecipe, settings: Train, **where: Any
) -> tuple[keras.Model, checkpoints.History]:
    """Train one network by the method of its recipe, as `train_baseline.fit` or `train_regions.fit` does."""
    return FIT[recipe.method](recipe, settings, **where)


def _fit_members(
    ws: Workspace, params: Params, recipe: Recipe, *, folder: Path, tracked: MlflowRun, **how: Any
) -> tuple[list[keras.Model] | dict[str, list[keras.Model]], checkpoints.History]:
    """Train the networks of a recipe; of an ensemble those of each member, one after the other."""
    if not isinstance(recipe, EnsembleRecipe):
        return _fit_networks(ws, params, recipe, folder=folder, tracked=tracked, **how)
    networks: dict[str, list[keras.Model]] = {}
    history: list[dict[str, Any]] = []
    for name, member in recipe.members.items():
        own = folder / name
        own.mkdir(exist_ok=True)
        made = _fit_networks(ws, params, member, folder=own, tracked=tracked.prefixed(f"{name}."), **how)
        networks[name] = made[0]
        history += [{"member": name, **row} for row in made[1]]
    return networks, history


def _fit_networks(
    ws: Workspace,
    params: Params,
    recipe: BaselineRecipe | RegionsRecipe,
    *,
    parts: dict[str, list[str]],
    fold_of: dict[str, int],
    folder: Path,
    tracked: Curves,
) -> tuple[list[keras.Model], checkpoints.History]:
    if fold_of:
        return _fit_folds(ws, params, recipe, parts=parts, fold_of=fold_of, folder=folder, tracked=tracked)
    network, history = fit(recipe, params.train, cases=ws.preprocessed, parts=parts, folder=folder, tracked=tracked)
    return [network], history


def training_folds(ws: Workspace, params: Params, case_ids: Sequence[str]) -> dict[str, int]:
    """Return the fold of each training case, the same for all cases of a patient.

    Raises:
        CohortError: There are fewer training patients than folds.
    """
    index = files.read_json(ws.preprocessed.index)
    patients = [index[case_id]["patient"] for case_id in case_ids]
    try:
        drawn = folds(patients, count=params.train.folds, seed=params.train.seed)
    except ValueError as error:
        raise CohortError(f"{error}: lower train.folds, or set it to 0") from error
    return {case_id: drawn[patient] for case_id, patient in zip(case_ids, patients, strict=True)}


def _fit_folds(
    ws: Workspace,
    params: Params,
    recipe: BaselineRecipe | RegionsRecipe,
    *,
    parts: dict[str, list[str]],
    fold_of: dict[str, int],
    folder: Path,
    tracked: Curves,
) -> tuple[list[keras.Model], checkpoints.History]:
    """Train one network a fold, each with its own checkpoints; a finished one is read from its last checkpoint."""
    networks, history = [], []
    for fold in range(params.train.folds):
        cases = {
            "train": [case_id for case_id in parts["train"] if fold_of[case_id] != fold],
            "validation": [case_id for case_id in parts["train"] if fold_of[case_id] == fold],
        }
        own = folder / f"fold-{fold}"
        own.mkdir(exist_ok=True)
        curves = tracked.prefixed(f"fold{fold}.")
        network, rows = fit(recipe, params.train, cases=ws.preprocessed, parts=cases, folder=own, tracked=curves)
        networks.append(network)
        history += [{"fold": fold, **row} for row in rows]
    return networks, history
