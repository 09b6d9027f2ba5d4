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

History = list[dict[str, float]]


def save(folder: Path, model: keras.Model, history: History) -> None:
    """Keep the model with its optimiser state and the history as the one checkpoint of `folder`.

    The new one is complete before the old one goes, so that a kill at any moment leaves one of them.
    """
    with files.replacing(folder / f"epoch-{len(history):05d}") as unfinished:
        write_model(unfinished / "model.keras", model)
        files.write_json(unfinished / "history.json", history)
    for older in _complete(folder)[:-1]:
        files.remove(older)


def restore(folder: Path) -> tuple[keras.Model, History] | None:
    """Return the model and history of the last checkpoint, or None where there is none."""
    complete = _complete(folder)
    if not complete:
        return None
    history = files.read_json(complete[-1] / "history.json", made_by="brats train")
    return read_model(complete[-1] / "model.keras"), history


def keep(folder: Path, *, step: int, state: Mapping[str, NDArray[Any]], history: History) -> None:
    """Keep a training that may be in mid-epoch as the one checkpoint of `folder`, in the same way."""
    with files.replacing(folder / f"step-{step:09d}") as unfinished:
        unfinished.mkdir()
        np.savez(unfinished / "state.npz", allow_pickle=False, **state)
        files.write_json(unfinished / "history.json", history)
    for older in _complete(folder, "step")[:-1]:
        files.remove(older)


def resume(folder: Path) -> tuple[int, dict[str, NDArray[Any]], History] | None:
    """Return the step, state and history that `keep` kept last, or None where it kept nothing.

    Raises:
        ModelError: The checkpoint is damaged.
    """
    complete = _complete(folder, "step")
    if not complete:
        return None
    rows = files.read_json(complete[-1] / "history.json", made_by="brats train")
    try:
        with (complete[-1] / "state.npz").open("rb") as file, np.load(file) as stored:
            state = dict(stored)
    except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError) as error:
        reason = f"{complete[-1]} is damaged ({error}): remove it, and training begins anew"
        raise ModelError(reason) from error
    return int(complete[-1].name.removeprefix("step-")), state, rows


def _complete(folder: Path, unit: str = "epoch") -> list[Path]:
    return sorted(folder.glob(f"{unit}-*"))
