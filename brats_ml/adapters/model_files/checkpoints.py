"""What a training needs to go on after a kill: kept outside the stage's outputs, by the key of its work."""

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


def save(folder: Path, model: keras.Model, history: History) -> None:
    """Keep the model with its optimiser state and the history as the one checkpoint of `folder`.

    The new one is complete before the old one goes, so that a kill at any moment leaves one of them.
    """
    with files.replacing(folder / f"epoch-{len(history):05d}") as unfinished:
        checkpoint = Checkpoint(unfinished)
        write_model(checkpoint.model, model)
        files.write_json(checkpoint.history, history)
    for older in _complete(folder)[:-1]:
        files.remove(older.path)


def restore(folder: Path) -> tuple[keras.Model, History] | None:
    """Return the model and history of the last checkpoint, or None where there is none."""
    complete = _complete(folder)
    if not complete:
        return None
    return read_model(complete[-1].model.path), files.read_json(complete[-1].history)


def keep(folder: Path, *, step: int, state: Mapping[str, NDArray[Any]], history: History) -> None:
    """Keep a training that may be in mid-epoch as the one checkpoint of `folder`, in the same way."""
    with files.replacing(folder / f"step-{step:09d}") as unfinished:
        unfinished.mkdir()
        checkpoint = Checkpoint(unfinished)
        np.savez(checkpoint.state, allow_pickle=False, **state)
        files.write_json(checkpoint.history, history)
    for older in _complete(folder, "step")[:-1]:
        files.remove(older.path)


def resume(folder: Path) -> tuple[int, dict[str, NDArray[Any]], History] | None:
    """Return the step, state and history that `keep` kept last, or None where it kept nothing.

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
