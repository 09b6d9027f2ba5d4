"""Fit one recipe; a killed training goes on from its last epoch, in the same MLflow run."""

from pathlib import Path
from typing import Any

import keras
import pandas as pd
from filelock import FileLock
from rich.console import Console
from rich.progress import Progress

from brats_ml.adapters import checkpoints, files, provenance, tracking
from brats_ml.adapters.arrays import read_case
from brats_ml.adapters.keras_files import write_model
from brats_ml.cohort.labels import LABELS
from brats_ml.config import Params
from brats_ml.config.recipes import SeedRecipe
from brats_ml.errors import ConfigError, TableError
from brats_ml.imaging.geometry import uncrop
from brats_ml.segmentation import training
from brats_ml.segmentation.inference import select
from brats_ml.segmentation.slices import slice_inputs, slice_targets
from brats_ml.segmentation.unet import unet
from brats_ml.stages.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params, *, recipe: str) -> Report:
    """Train `recipe` on the training patients and write its folder.

    A cohort without reference label maps is ordinary: the folder then holds the verdict "not trained" and no model.
    """
    chosen = params.recipe(recipe)
    if not isinstance(chosen, SeedRecipe):
        raise ConfigError(f"recipe {recipe} has method {chosen.method}, which cannot be trained yet", key="recipes")
    if recipe not in params.train.recipes:
        raise ConfigError(f"recipe {recipe} is not one of train.recipes in params.yaml; add it", key="train.recipes")
    parts = labelled_cases(ws)
    if not parts["train"]:
        reason = "no training case has a reference label map"
        with files.replacing(ws.model(recipe)) as folder:
            files.write_json(folder / "verdict.json", {"verdict": f"not trained: {reason}"})
        return Report("train", f"{recipe} not trained, since {reason}")

    key = provenance.work_key(ws.root, f"train@{recipe}")
    folder = ws.checkpoints(key)
    folder.mkdir(parents=True, exist_ok=True)
    tracker = tracking.MlflowTracker(tracking.address(ws.state))
    tags = {"brats.stage": f"train@{recipe}", "brats.recipe": recipe, **provenance.origin(ws.root)}
    with FileLock(folder / ".lock"), tracker.run(key, name=f"train {recipe}", tags=tags) as tracked:
        tracked.log_params({"recipe": recipe, "seed": params.train.seed, **tracking.flat(chosen.model_dump())})
        digest = provenance.data_digest(ws.root)
        if digest is not None:
            tracked.log_dataset(name="data/raw", digest=digest, context="training")
        model, history = _fit(ws, params, chosen, parts=parts, folder=folder, tracked=tracked)
        _write(ws.model(recipe), model, history, chosen, {"verdict": "trained", "key": key, "cases": parts})
    page = tracker.page(tracked.run_id)
    done = f"{recipe} trained for {len(history)} epoch(s), loss {history[-1]['loss']:.4f}"
    return Report("train", done, links={"MLflow": page} if page else {})


def labelled_cases(ws: Workspace) -> dict[str, list[str]]:
    """Return the preprocessed cases of each part that have a reference label map, sorted."""
    patients = files.read_json(ws.image_splits, made_by="brats split")["patients"]
    index = files.read_json(ws.preprocessed / "index.json", made_by="brats preprocess")
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for case_id, record in sorted(index.items()):
        if record["labelled"]:
            if record["patient"] not in patients:
                reason = f"has no part for patient {record['patient']}; run `brats split` again"
                raise TableError(ws.image_splits, reason)
            parts[patients[record["patient"]]].append(case_id)
    return parts


def read_batch(path: Path, recipe: SeedRecipe) -> training.Batch:
    """Return one preprocessed case as a recipe's inputs and targets, shapes (slice, size, size, channel | class)."""
    case = read_case(path)
    if case.label is None:
        raise ValueError(f"{path.name} has no reference label map")
    image = uncrop(select(case.image, recipe.modalities), case.start, case.full_shape)
    labels = uncrop(case.label, case.start, case.full_shape)
    first, count = recipe.slices.first, recipe.slices.count
    inputs = slice_inputs(image, size=recipe.size, first=first, count=count)
    return inputs, slice_targets(labels, size=recipe.size, first=first, count=count)


def _fit(
    ws: Workspace,
    params: Params,
    recipe: SeedRecipe,
    *,
    parts: dict[str, list[str]],
    folder: Path,
    tracked: tracking.MlflowRun,
) -> tuple[keras.Model, checkpoints.History]:
    training.prepare(seed=params.train.seed, deterministic=params.train.deterministic)
    model, history = checkpoints.restore(folder) or (_fresh(recipe, params.train.seed), [])
    tracked.log_metrics(history, step="epoch")

    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("training", total=recipe.epochs, completed=len(history))

        def after_epoch(trained: keras.Model, rows: checkpoints.History) -> None:
            checkpoints.save(folder, trained, rows)
            tracked.log_metrics(rows[-1:], step="epoch")
            # A log that is no terminal shows a progress bar only at its end.
            progress.console.print(_epoch_line(rows[-1], recipe.epochs), highlight=False)
            progress.update(task, completed=len(rows))

        history = training.fit(
            model,
            training=parts["train"],
            validation=parts["validation"],
            read=lambda case_id: read_batch(ws.preprocessed / f"{case_id}.npz", recipe),
            epochs=recipe.epochs,
            seed=params.train.seed,
            learning_rate=recipe.learning_rate,
            plateau=recipe.plateau.model_dump(),
            history=history,
            after_epoch=after_epoch,
        )
    return model, history


def _epoch_line(row: training.EpochRow, epochs: int) -> str:
    held_out = f", validation loss {row['val_loss']:.4f}" if "val_loss" in row else ""
    return f"epoch {row['epoch']:.0f}/{epochs}: loss {row['loss']:.4f}{held_out}"


def _fresh(recipe: SeedRecipe, seed: int) -> keras.Model:
    model = unet(
        size=recipe.size,
        channels=len(recipe.modalities),
        classes=1 + len(LABELS),
        filters=recipe.filters,
        dropout=recipe.dropout,
        seed=seed,
    )
    training.compile_seed(model, learning_rate=recipe.learning_rate)
    return model


def _write(
    folder: Path, model: keras.Model, history: checkpoints.History, recipe: SeedRecipe, verdict: dict[str, Any]
) -> None:
    with files.replacing(folder) as unfinished:
        write_model(unfinished / "model.keras", training.inference_model(model))
        files.write_json(unfinished / "recipe.json", recipe.model_dump())
        # A history read back from a checkpoint has its columns in another order.
        files.write_csv(unfinished / "history.csv", pd.DataFrame(history).sort_index(axis="columns"))
        files.write_json(unfinished / "verdict.json", verdict)
