"""Fit the seed method, a case a step; a killed training goes on from its last epoch."""

from pathlib import Path

import keras
from rich.console import Console
from rich.progress import Progress

from brats_ml.adapters import checkpoints, tracking
from brats_ml.adapters.arrays import read_case
from brats_ml.cohort.labels import CLASSES
from brats_ml.config.recipes import SeedRecipe
from brats_ml.config.segmentation import Train
from brats_ml.imaging.geometry import uncrop
from brats_ml.segmentation import training
from brats_ml.segmentation.devices import across, chosen_devices
from brats_ml.segmentation.inference import select
from brats_ml.segmentation.slices import slice_inputs, slice_targets
from brats_ml.segmentation.unet import unet


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


def fit(
    recipe: SeedRecipe,
    settings: Train,
    *,
    cases: Path,
    parts: dict[str, list[str]],
    folder: Path,
    tracked: tracking.Curves,
) -> tuple[keras.Model, checkpoints.History]:
    """Train on the cases of a preprocessed folder, with checkpoints in `folder`.

    Returns:
        The network without its optimiser, and the history.

    Raises:
        ConfigError: A GPU is asked for and absent.
        DivergedError: The loss is not a number.
    """
    training.prepare(seed=settings.seed, deterministic=settings.deterministic)
    # One device, as in the seed system.
    devices = chosen_devices(settings.device, settings.devices)[:1]
    with across(devices), Progress(console=Console(stderr=True)) as progress:
        model, history = checkpoints.restore(folder) or (_fresh(recipe, settings.seed), [])
        tracked.log_metrics(history, step="epoch")
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
            read=lambda case_id: read_batch(cases / f"{case_id}.npz", recipe),
            epochs=recipe.epochs,
            seed=settings.seed,
            learning_rate=recipe.learning_rate,
            plateau=recipe.plateau.model_dump(),
            history=history,
            after_epoch=after_epoch,
        )
        return training.inference_model(model), history


def _epoch_line(row: training.EpochRow, epochs: int) -> str:
    held_out = f", validation loss {row['val_loss']:.4f}" if "val_loss" in row else ""
    return f"epoch {row['epoch']:.0f}/{epochs}: loss {row['loss']:.4f}{held_out}"


def _fresh(recipe: SeedRecipe, seed: int) -> keras.Model:
    model = unet(
        size=recipe.size,
        channels=recipe.channels,
        classes=CLASSES,
        filters=recipe.filters,
        dropout=recipe.dropout,
        seed=seed,
    )
    training.compile_seed(model, learning_rate=recipe.learning_rate)
    return model
