"""Fit the baseline method, a case a step; a killed training resumes from its last epoch."""

from pathlib import Path

import keras
from rich.console import Console
from rich.progress import Progress

from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.adapters.model_files import checkpoints
from brats_ml.adapters.tracking.runs import Curves
from brats_ml.cohort.labels import GLIOMA, LABEL_SETS, LabelSet
from brats_ml.config.recipes import BaselineRecipe
from brats_ml.config.segmentation import Train
from brats_ml.dataset.label_sets import of_preprocessed, unknown_cases
from brats_ml.errors import ConfigError
from brats_ml.imaging.channels import select
from brats_ml.imaging.geometry import uncrop
from brats_ml.segmentation.devices import across, chosen_devices
from brats_ml.segmentation.networks.baseline_unet import unet
from brats_ml.segmentation.slices import slice_inputs, slice_targets
from brats_ml.segmentation.training import baseline
from brats_ml.segmentation.training.determinism import prepare
from brats_ml.workspace import Artefact
from brats_ml.workspace.outputs import PreprocessedFolder


def read_batch(file: Artefact, recipe: BaselineRecipe, label_set: LabelSet = LABEL_SETS[GLIOMA]) -> baseline.Batch:
    """Return one preprocessed case as a recipe's inputs and targets, shapes (slice, size, size, channel | class).

    Raises:
        CaseError: The case has no reference label map.
    """
    case = read_labelled_case(file)
    image = uncrop(select(case.image, recipe.modalities), case.start, case.full_shape)
    labels = uncrop(case.label, case.start, case.full_shape)
    first, count = recipe.slices.first, recipe.slices.count
    inputs = slice_inputs(image, size=recipe.size, first=first, count=count)
    values = tuple(label_set.labels.values())
    return inputs, slice_targets(labels, size=recipe.size, first=first, count=count, values=values)


def fit(
    recipe: BaselineRecipe,
    settings: Train,
    *,
    cases: PreprocessedFolder,
    parts: dict[str, list[str]],
    folder: Path,
    tracked: Curves,
) -> tuple[keras.Model, checkpoints.History]:
    """Train on preprocessed cases, with checkpoints in `folder`.

    Returns:
        The network without its optimiser, and the history.

    Raises:
        ConfigError: `train.device` is gpu, and there is none; or a region is not known of a case.
        DivergedError: The loss is not a number.
    """
    label_set = of_preprocessed(cases)
    _refuse_unknown(cases, parts, label_set)
    prepare(seed=settings.seed, deterministic=settings.deterministic)
    # The baseline uses one device.
    devices = chosen_devices(settings.device, settings.devices)[:1]
    with across(devices), Progress(console=Console(stderr=True)) as progress:
        model, history = checkpoints.load_model(folder) or (_fresh(recipe, label_set, settings.seed), [])
        tracked.log_metrics(history, step="epoch")
        task = progress.add_task("training", total=recipe.epochs, completed=len(history))

        def after_epoch(trained: keras.Model, rows: checkpoints.History) -> None:
            checkpoints.save_model(folder, trained, rows)
            tracked.log_metrics(rows[-1:], step="epoch")
            # A log file shows the progress bar only at its end.
            progress.console.print(_epoch_line(rows[-1], recipe.epochs), highlight=False)
            progress.update(task, completed=len(rows))

        history = baseline.fit(
            model,
            training=parts["train"],
            validation=parts["validation"],
            read=lambda case_id: read_batch(cases.case(case_id), recipe, label_set),
            epochs=recipe.epochs,
            seed=settings.seed,
            learning_rate=recipe.learning_rate,
            plateau=recipe.plateau.model_dump(),
            history=history,
            after_epoch=after_epoch,
        )
        return baseline.inference_model(model), history


def _epoch_line(row: baseline.EpochRow, epochs: int) -> str:
    held_out = f", validation loss {row['val_loss']:.4f}" if "val_loss" in row else ""
    return f"epoch {row['epoch']:.0f}/{epochs}: loss {row['loss']:.4f}{held_out}"


def _refuse_unknown(cases: PreprocessedFolder, parts: dict[str, list[str]], label_set: LabelSet) -> None:
    """Refuse cases with regions that nobody looked for, since each voxel of the baseline has one label.

    Raises:
        ConfigError: There is such a case.
    """
    found = unknown_cases(cases, label_set)
    for case_id in (*parts["train"], *parts["validation"]):
        if unknown := found.get(case_id):
            raise ConfigError(
                f"train.recipes has a recipe of the method baseline, which cannot learn from {case_id}, since nobody "
                f"knows whether it has {', '.join(unknown)}: set train.recipes=[regions2d]",
                key="train.recipes",
            )


def _fresh(recipe: BaselineRecipe, label_set: LabelSet, seed: int) -> keras.Model:
    model = unet(
        size=recipe.size,
        channels=recipe.channels,
        classes=1 + len(label_set.labels),
        filters=recipe.filters,
        dropout=recipe.dropout,
        seed=seed,
    )
    baseline.compile_baseline(model, learning_rate=recipe.learning_rate)
    return model
