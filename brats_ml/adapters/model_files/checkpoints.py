"""Checkpoints, from which a killed training resumes; they are no outputs of the stage."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from brats_ml import files
from brats_ml.adapters.model_files.keras_file import read_model, write_model
from brats_ml.errors import ModelError
from brats_ml.workspace.state import Checkpoint

History = list[dict[str, float]]


def save_model(folder: Path, model: keras.Model, history: History) -> None:
    """Save the model with its optimiser state and the history as the only checkpoint in `folder`.

    The new one is complete before the old one is removed, so that a kill at any moment leaves one of them.
    """
    with files.replacing(folder / f"epoch-{len(history):05d}") as unfinished:
        checkpoint = Checkpoint(unfinished)
        write_model(checkpoint.model, model)
        files.write_json(checkpoint.history, history)
    for older in _complete(folder)[:-1]:
        files.remove(older.path)


def load_model(folder: Path) -> tuple[keras.Model, History] | None:
    """Return the model and history of the last checkpoint, or None."""
    complete = _complete(folder)
    if not complete:
        return None
    return read_model(complete[-1].model.path), files.read_json(complete[-1].history)


def save_state(folder: Path, *, step: int, state: Mapping[str, NDArray[Any]], history: History) -> None:
    """Save the state of a training, at any step of an epoch, as the only checkpoint in `folder`."""
    with files.replacing(folder / f"step-{step:09d}") as unfinished:
        unfinished.mkdir()
        checkpoint = Checkpoint(unfinished)
        np.savez(checkpoint.state, allow_pickle=False, **state)
        files.write_json(checkpoint.history, history)
    for older in _complete(folder, "step")[:-1]:
        files.remove(older.path)


def load_state(folder: Path) -> tuple[int, dict[str, NDArray[Any]], History] | None:
    """Return the step, state and history of the last checkpoint by `save_state`, or None.

    Raises:
        ModelError: The checkpoint is damaged.
    """
    complete = _complete(folder, "step")
    if not complete:
        return None
    last = complete[-1]
    rows = files.read_json(last.history)
    try:
        with last.state.path.open("rb") as file, np.load(file) as stored:
            state = dict(stored)
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError) as error:
        raise ModelError(f"{last} is damaged ({error}): remove it, and training starts again") from error
    return int(last.path.name.removeprefix("step-")), state, rows


def _complete(folder: Path, unit: str = "epoch") -> list[Checkpoint]:
    return [Checkpoint(path) for path in sorted(folder.glob(f"{unit}-*"))]
