"""Train a baseline network epoch by epoch; training can stop and resume after any epoch."""

import math
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from brats_ml.errors import DivergedError
from brats_ml.segmentation.training.schedule import plateau_rate

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]
EpochRow = dict[str, float]


@keras.saving.register_keras_serializable(package="brats_ml")  # type: ignore[untyped-decorator]  # Keras has no types
def baseline_dice_coef(target: keras.KerasTensor, predicted: keras.KerasTensor) -> keras.KerasTensor:
    """Return the baseline's Dice of one batch: soft, smoothed by 1, averaged over background and labels.

    Args:
        target: One-hot or soft targets, shape (slice, size, size, class).
        predicted: Probabilities of the same shape.
    """
    axes = (0, 1, 2)
    overlap = keras.ops.sum(target * predicted, axis=axes)
    total = keras.ops.sum(target, axis=axes) + keras.ops.sum(predicted, axis=axes)
    return keras.ops.mean((2.0 * overlap + 1.0) / (total + 1.0))


class CaseBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras declares no types
    """Batches of slices, one case per batch, which threads read ahead."""

    def __init__(self, order: Sequence[str], read: Callable[[str], Batch]) -> None:
        """Keep the case ids in order, and the function that reads a case as a batch."""
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=2)
        self._order, self._read = order, read

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(self._order)

    def __getitem__(self, index: int) -> Batch:
        """Return one case's inputs and targets."""
        return self._read(self._order[index])


def compile_baseline(model: keras.Model, *, learning_rate: float) -> None:
    """Compile the model with Adam and categorical cross-entropy."""
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="categorical_crossentropy",
        metrics=["accuracy", baseline_dice_coef],
    )


def epoch_order(cases: Sequence[str], *, seed: int, epoch: int) -> list[str]:
    """Return the order of the cases in an epoch, which depends on the seed and the epoch alone."""
    shuffled = np.random.default_rng((seed, epoch)).permutation(len(cases))
    return [cases[index] for index in shuffled]


def reseed_dropout(model: keras.Model, *, seed: int, epoch: int) -> None:
    """Set the random state of dropout from the seed and the epoch alone, since a saved model does not hold it."""
    for index, layer in enumerate(model.layers):
        # Keras gives a layer that drops nothing no random state.
        if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
            state = np.random.default_rng((seed, epoch, index)).integers(0, 2**31, size=2)
            layer.seed_generator.state.assign(state.astype(np.uint32))


def inference_model(model: keras.Model) -> keras.Model:
    """Return a copy of the network without optimiser, loss and metrics."""
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
    """Train until the history has `epochs` epochs.

    Args:
        model: A compiled model, with the weights and optimiser state after the last epoch of `history`.
        training: The case ids to train on, in any order. Each case is one step per epoch.
        validation: The case ids for the loss that steers the learning rate. If empty, the training loss steers it.
        read: The function that reads a case as inputs (slice, size, size, channel) and targets (slice, size, size,
            class).
        epochs: The number of epochs in all.
        seed: The seed of the order of cases and of dropout.
        learning_rate: The learning rate of the first epoch.
        plateau: The `factor`, `patience` and `minimum` of `plateau_rate`.
        history: One row per finished epoch; empty for a new training.
        after_epoch: The function that saves and logs. It gets the model and the history after each epoch.

    Returns:
        The full history. A row has epoch, learning_rate, loss and metrics; loss and metrics of validation have the
        prefix `val_`.

    Raises:
        DivergedError: The loss is not a finite number.
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
