"""Checkpoints, from which a killed training resumes; they are no outputs of the stage."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from brats_ml import files
from brats_ml.adapters.model_files.keras_file import read_model, write_model
from brats_ml.workspace.state import Checkpoint

LOG = logging.getLogger(__name__)
History = list[dict[str, float]]


def save_model(folder: Path, model: keras.Model, history: History) -> None:
    """Save the model with its optimiser state and the history as the only checkpoint in `folder`.

    The new one is complete before the old one is removed, so that a kill at any moment leaves one of them.
    """
    with files.replacing(folder / f"epoch-{len(history):05d}") as unfinished:
        checkpoint = Checkpoint(unfinished)
        write_model(checkpoint.model, model)
        files.write_json(checkpoint.history, history)
        files.note_digests(checkpoint.digests)
    for older in _complete(folder, "epoch")[:-1]:
        files.remove(older.path)


def load_model(folder: Path) -> tuple[keras.Model, History] | None:
    """Return the model and history of the last checkpoint by `save_model`, or None."""
    last = _last(folder, "epoch")
    return None if last is None else (read_model(last.model.path), files.read_json(last.history))


def save_state(folder: Path, *, step: int, state: Mapping[str, NDArray[Any]], history: History) -> None:
    """Save the state of a training, at any step of an epoch, as the only checkpoint in `folder`."""
    with files.replacing(folder / f"step-{step:09d}") as unfinished:
        unfinished.mkdir()
        checkpoint = Checkpoint(unfinished)
        with files.replacing(checkpoint.state) as temporary:
            np.savez(temporary, allow_pickle=False, **state)
        files.write_json(checkpoint.history, history)
        files.note_digests(checkpoint.digests)
    for older in _complete(folder, "step")[:-1]:
        files.remove(older.path)


def load_state(folder: Path) -> tuple[int, dict[str, NDArray[Any]], History] | None:
    """Return the step, state and history of the last checkpoint by `save_state`, or None."""
    last = _last(folder, "step")
    if last is None:
        return None
    with np.load(last.state) as stored:
        state = dict(stored)
    return int(last.path.name.removeprefix("step-")), state, files.read_json(last.history)


def _last(folder: Path, unit: str) -> Checkpoint | None:
    """Return the last checkpoint that is as it was written, or None; others are set aside under another name."""
    for checkpoint in reversed(_complete(folder, unit)):
        if files.is_intact(checkpoint.digests):
            return checkpoint
        aside = files.set_aside(checkpoint.path)
        LOG.warning("the checkpoint %s is damaged or was changed: training starts without it", aside)
    return None


def _complete(folder: Path, unit: str) -> list[Checkpoint]:
    return [Checkpoint(path) for path in sorted(folder.glob(f"{unit}-*"))]
