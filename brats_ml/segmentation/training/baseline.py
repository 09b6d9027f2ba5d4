"""Fit a recipe's network, epoch by epoch, in a way that can stop and continue anywhere."""

import math
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from brats_ml.errors import DivergedError
from brats_ml.segmentation.training.schedule import plateau_rate

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
EpochRow = dict[str, float]


@keras.saving.register_keras_serializable(package="brats_ml")  # type: ignore[untyped-decorator]  # of Keras
def baseline_dice_coef(target: keras.KerasTensor, predicted: keras.KerasTensor) -> keras.KerasTensor:
    """Return the baseline's Dice of one batch: soft, mean over background and labels, smoothed by 1.

    Args:
        target: One-hot or soft target, shape (slice, size, size, class).
        predicted: Probabilities of the same shape.
    """
    axes = (0, 1, 2)
    overlap = keras.ops.sum(target * predicted, axis=axes)
    total = keras.ops.sum(target, axis=axes) + keras.ops.sum(predicted, axis=axes)
    return keras.ops.mean((2.0 * overlap + 1.0) / (total + 1.0))


class CaseBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras declares no types
    """One case after another, each a batch of its slices, read one ahead in a thread."""

    def __init__(self, order: Sequence[str], read: Callable[[str], Batch]) -> None:
        """Take the case ids in order, and what turns one into a batch."""
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=2)
        self._order, self._read = order, read

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(self._order)

    def __getitem__(self, index: int) -> Batch:
        """Return one case's inputs and targets."""
        return self._read(self._order[index])


def compile_baseline(model: keras.Model, *, learning_rate: float) -> None:
    """Compile as the baseline does: Adam, categorical cross-entropy."""
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="categorical_crossentropy",
        metrics=["accuracy", baseline_dice_coef],
    )


def epoch_order(cases: Sequence[str], *, seed: int, epoch: int) -> list[str]:
    """Return the order in which an epoch sees its cases: a function of the seed and the epoch alone."""
    shuffled = np.random.default_rng((seed, epoch)).permutation(len(cases))
    return [cases[index] for index in shuffled]


def reseed_dropout(model: keras.Model, *, seed: int, epoch: int) -> None:
    """Set what dropout draws next: a function of the seed and the epoch alone, since a saved model forgets it."""
    for index, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.Dropout):
            state = np.random.default_rng((seed, epoch, index)).integers(0, 2**31, size=2)
            layer.seed_generator.state.assign(state.astype(np.uint32))


def inference_model(model: keras.Model) -> keras.Model:
    """Return the network with its weights alone, without optimiser, loss and metrics."""
    bare = keras.Model.from_config(model.get_config())
    bare.set_weights(model.get_weights())
    return bare


def fit(
    model: keras.Model,
    *,
    training: Sequence[str],
    validation: Sequence[str],
    read: Callable[[str], Batch],
    epochs: int,
    seed: int,
    learning_rate: float,
    plateau: Mapping[str, float],
    history: list[EpochRow],
    after_epoch: Callable[[keras.Model, list[EpochRow]], None],
) -> list[EpochRow]:
    """Train until `epochs` epochs are in the history.

    Args:
        model: Compiled; with the weights and optimiser state that the last epoch of `history` left.
        training: Case ids to learn from, in any order; each is one step an epoch.
        validation: Case ids whose loss steers the learning rate. May be empty: then the training loss does.
        read: Turns a case id into inputs (slice, size, size, channel) and targets (slice, size, size, class).
        epochs: Epochs in all.
        seed: Of the order of cases.
        learning_rate: Of the first epoch.
        plateau: `factor`, `patience` and `minimum` of `plateau_rate`.
        history: One row an epoch already done; empty for a new training.
        after_epoch: Called with the model and the history after each epoch, to save and to log.

    Returns:
        The full history with epoch, learning_rate, loss and metrics, and the same with `val_`.

    Raises:
        DivergedError: The loss is not a number.
    """
    rows = list(history)
    steered_by = "val_loss" if validation else "loss"
    held_out = CaseBatches(sorted(validation), read) if validation else None
    for epoch in range(len(rows), epochs):
        rate = plateau_rate([row[steered_by] for row in rows], initial=learning_rate, **plateau)  # type: ignore[arg-type]
        model.optimizer.learning_rate = rate
        reseed_dropout(model, seed=seed, epoch=epoch)
        order = epoch_order(sorted(training), seed=seed, epoch=epoch)
        logs = model.fit(
            CaseBatches(order, read),
            validation_data=held_out,
            initial_epoch=epoch,
            epochs=epoch + 1,
            shuffle=False,
            verbose=0,
        )
        measured = {name: float(values[-1]) for name, values in logs.history.items()}
        if not math.isfinite(measured["loss"]):
            raise DivergedError(f"epoch {epoch + 1}", "the recipe's learning_rate")
        rows.append({"epoch": epoch + 1, "learning_rate": rate, **measured})
        after_epoch(model, rows)
    return rows
