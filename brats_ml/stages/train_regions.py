"""Fit a region recipe, patch by patch; a killed training resumes from its last checkpoint."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import keras
import numpy as np
from numpy.typing import NDArray

from brats_ml.adapters.case_files import training_set
from brats_ml.adapters.model_files import checkpoints
from brats_ml.adapters.tracking.runs import Curves
from brats_ml.cohort.labels import LabelSet
from brats_ml.config.recipes import RegionsRecipe
from brats_ml.config.segmentation import Train
from brats_ml.dataset.label_sets import known_regions, of_preprocessed
from brats_ml.segmentation.devices import RESIDENT_SHARE, across, are_gpus, chosen_devices, memory_bytes
from brats_ml.segmentation.networks.region_unet import region_unet
from brats_ml.segmentation.training import regions
from brats_ml.segmentation.training.determinism import prepare
from brats_ml.segmentation.training.out_of_memory import out_of_memory_explained
from brats_ml.segmentation.training.patches import Inputs, ResidentSet, TrainingSet, cut
from brats_ml.segmentation.training.sampling import draw_patches, foreground
from brats_ml.segmentation.training.step import PatchTraining
from brats_ml.stages.train_log import TrainingLog
from brats_ml.workspace.outputs import PreprocessedFolder
from brats_ml.workspace.state import ArrayFolder

VALIDATION_BATCHES = 8
# Every training validates on the same patches.
VALIDATION_SEED = 2**20
# Whether each region is known in each case, shape (case, region); None if everything is known.
Known = NDArray[np.float32] | None
POLICY = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def fit(
    recipe: RegionsRecipe,
    settings: Train,
    *,
    cases: PreprocessedFolder,
    parts: dict[str, list[str]],
    folder: Path,
    tracked: Curves,
) -> tuple[keras.Model, checkpoints.History]:
    """Train on preprocessed cases, with checkpoints in `folder`.

    Args:
        recipe: A recipe that `brats plan` completed.
        settings: The section `train`.
        cases: The preprocessed cases.
        parts: Case ids of `train` and `validation`.
        folder: Folder of the checkpoints.
        tracked: MLflow run that gets the learning curves.

    Returns:
        The network with its averaged weights, in float32 and for inputs of any extent; and the history.
    """
    prepare(seed=settings.seed, deterministic=settings.deterministic)
    devices, label_set = chosen_devices(settings.device, settings.devices), of_preprocessed(cases)
    known = {part: known_regions(cases, parts[part], label_set) for part in ("train", "validation")}
    on_gpu = are_gpus(devices)
    host_share = int(memory_bytes([]) * RESIDENT_SHARE)
    in_memory = 0 if settings.residence == "mapped" else host_share
    training = _read(cases, parts["train"], recipe, in_memory, folder / "mapped")
    on_device = settings.residence == "device" or (
        settings.residence == "auto" and on_gpu and training.bytes < memory_bytes(devices) * RESIDENT_SHARE
    )
    with across(devices), out_of_memory_explained(recipe.patch or (), recipe.batch or 1):
        model = _model(recipe, settings, label_set, training if on_device else None, on_gpu=on_gpu)
        progress = _progress(folder)
        tracked.log_metrics(progress.rows, step="epoch")
        steps = recipe.epochs * recipe.epoch_steps
        validation = _read(cases, parts["validation"], recipe, host_share, folder / "held_out")
        held_out = _validation(validation, recipe, known["validation"])
        with _asked_to_stop() as stop:
            rows = regions.fit(
                model,
                training=_batches(
                    training,
                    recipe,
                    settings.seed,
                    known["train"],
                    on_device=on_device,
                    flip=recipe.augmentation.flip,
                ),
                validation=held_out,
                steps=steps,
                epoch_steps=recipe.epoch_steps,
                progress=progress,
                keep=lambda kept: checkpoints.save_state(
                    folder, step=kept.step, state=kept.state or {}, history=kept.rows
                ),
                keep_seconds=60 * settings.checkpoint_minutes,
                after_epoch=TrainingLog(recipe, tracked, held_out, label_set),
                stop=stop,
            )
        trained = regions.averaged(model)
    plain = _network(recipe, label_set, seed=settings.seed, dtype="float32")
    plain.set_weights(trained.get_weights())
    return plain, rows


def extent(recipe: RegionsRecipe) -> tuple[int, ...]:
    """Return the voxels that one sample spans, (X, Y, Z); a slice includes its neighbours."""
    patch = tuple(recipe.patch or ())
    return patch if recipe.dimensions == 3 else (*patch, 2 * recipe.neighbours + 1)


def _read(
    cases: PreprocessedFolder, case_ids: list[str], recipe: RegionsRecipe, memory: int, mapped: Path
) -> TrainingSet:
    return TrainingSet(
        *training_set.read(
            cases,
            case_ids,
            modalities=recipe.modalities,
            contralateral=recipe.contralateral,
            memory_bytes=memory,
            mapped=ArrayFolder(mapped),
        )
    )


def _progress(folder: Path) -> regions.Progress:
    kept = checkpoints.load_state(folder)
    return regions.Progress() if kept is None else regions.Progress(kept[0], kept[2], kept[1])


def _network(
    recipe: RegionsRecipe, label_set: LabelSet, *, seed: int, dtype: str, sliced: bool = False, fused: bool = False
) -> keras.Model:
    return region_unet(
        dimensions=recipe.dimensions,
        channels=recipe.channels,
        regions=len(label_set.regions),
        filters=recipe.filters or (),
        stem=recipe.stem,
        seed=seed,
        dtype=dtype,
        extent=recipe.patch if sliced else None,
        sliced=sliced,
        fused=fused,
    )


def _model(
    recipe: RegionsRecipe, settings: Train, label_set: LabelSet, on_device: TrainingSet | None, *, on_gpu: bool
) -> PatchTraining:
    by_xla = settings.xla or keras.backend.backend() == "jax"
    # XLA fuses norms by itself, and TensorFlow has a quick norm of its own on GPUs.
    fast = {"sliced": on_gpu and by_xla, "fused": not (on_gpu or by_xla)}
    model = PatchTraining(
        _network(recipe, label_set, seed=settings.seed, dtype=POLICY[settings.precision], **fast),
        dimensions=recipe.dimensions,
        modalities=len(recipe.modalities),
        augmentation=recipe.augmentation.model_dump(),
        batch_dice=recipe.batch_dice,
        seed=settings.seed,
        resident=ResidentSet(on_device, extent(recipe)) if on_device is not None else None,
        label_set=label_set,
        fused=fast["fused"],
    )
    regions.compile_regions(
        model,
        steps=recipe.epochs * recipe.epoch_steps,
        **recipe.optimizer.model_dump(),
        **recipe.schedule.model_dump(),
        ema=recipe.ema,
        xla=settings.xla,
    )
    return model


def _batches(
    cases: TrainingSet,
    recipe: RegionsRecipe,
    seed: int,
    known: Known,
    *,
    on_device: bool,
    flip: Sequence[int] = (),
) -> Callable[[int], Inputs]:
    found = [foreground(labels, seed=index) for index, labels in enumerate(cases.labels)]

    def batch(step: int) -> Inputs:
        patches = draw_patches(
            found, patch=extent(recipe), batch=recipe.batch or 1, share=recipe.foreground, seed=seed, step=step
        )
        inputs = vars(patches) if on_device else cut(cases, patches, patch=extent(recipe), flip=flip)
        return inputs if known is None else {**inputs, "known": known[patches.case]}

    return batch


def _validation(cases: TrainingSet, recipe: RegionsRecipe, known: Known) -> Sequence[Inputs]:
    if not cases.images:
        return ()
    make = _batches(cases, recipe, VALIDATION_SEED, known, on_device=False)
    return [make(step) for step in range(VALIDATION_BATCHES)]


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGTERM came; the training then saves its state before the process ends."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    previous = signal.signal(signal.SIGTERM, note)
    try:
        yield lambda: bool(came)
    except regions.StopTraining:
        raise SystemExit(128 + signal.SIGTERM) from None
    finally:
        signal.signal(signal.SIGTERM, previous)
