"""Train a region network step by step; training can stop after any step and resumes with the same result."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from brats_ml.errors import DivergedError
from brats_ml.segmentation.training.patches import Inputs
from brats_ml.segmentation.training.schedule import WarmUpDecay
from brats_ml.segmentation.training.step import PatchTraining

Row = dict[str, float]
State = dict[str, NDArray[Any]]


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        step: The number of finished steps.
        rows: One row of the history per finished epoch.
        state: Every number that the next step depends on, or None at the start.
    """

    step: int = 0
    rows: list[Row] = field(default_factory=list)
    state: State | None = None


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras declares no types
    """The batches of consecutive steps, which threads make while the device computes."""

    def __init__(self, make: Callable[[int], Inputs], first: int, last: int) -> None:
        """Keep the function that makes the batch of a global step, and the range of steps."""
        # With one worker Keras reads by tf.data, and then the end of an epoch waits for the next turn of its tuner.
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=3)
        self._make, self._first, self._count = make, first, last - first

    def __len__(self) -> int:
        """Return the number of steps."""
        return self._count

    def __getitem__(self, index: int) -> tuple[Inputs]:
        """Return one batch; the model derives the targets from its labels."""
        return (self._make(self._first + index),)


class CheckpointCallback(keras.callbacks.Callback):  # type: ignore[misc]  # Keras declares no types
    """Saves checkpoints periodically and stops on request.

    After the last step of an epoch it does neither, because the history still lacks the row of that epoch. `fit` calls
    `pause` once it has added the row.
    """

    def __init__(
        self, progress: Progress, *, keep: Callable[[Progress], None], seconds: float, stop: Callable[[], bool]
    ):
        super().__init__()
        self.progress, self._save, self._seconds, self._stop = progress, keep, seconds, stop
        self._saved_at = time.monotonic()
        self.epoch_end = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Restore the running means of an interrupted epoch, which Keras has just reset."""
        if self.progress.state is not None:
            put_state(self.model, self.progress.state)
            self.progress.state = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count the step, and pause unless it is the last one of the epoch."""
        self.progress.step += 1
        if self.progress.step < self.epoch_end:
            self.pause()

    def pause(self, *, at_end: bool = False) -> None:
        """Save the state if it is time, at the end, or before a stop; then stop if requested.

        Raises:
            DivergedError: Training has diverged, so its state is not saved.
            StopTraining: A stop was requested.
        """
        stop = self._stop()
        if stop or at_end or time.monotonic() - self._saved_at >= self._seconds:
            finite(self.model, self.progress.step)
            self._save(Progress(self.progress.step, list(self.progress.rows), take_state(self.model)))
            self._saved_at = time.monotonic()
        if stop:
            raise StopTraining


class StopTraining(Exception):  # noqa: N818 - the answer to a request, not an error
    """Training stopped on request, and its state is saved."""


class AveragedAdamW(keras.optimizers.AdamW):  # type: ignore[misc]  # Keras declares no types
    """AdamW that keeps the moving average of the weights apart from the weights.

    Keras replaces the weights by their average at the end of every `fit`. Here each epoch is one `fit`, so the
    replacement has to wait.
    """

    def finalize_variable_values(self, var_list: Any) -> None:
        """Leave the weights as they are."""

    def put_average(self, variables: Any) -> None:
        """Replace `variables` by their average, if there is one."""
        super().finalize_variable_values(variables)


def compile_regions(
    model: PatchTraining,
    *,
    steps: int,
    learning_rate: float,
    weight_decay: float,
    clip_norm: float,
    shape: str,
    power: float,
    warm_up_steps: int,
    ema: float | None,
    xla: bool,
) -> None:
    """Compile with AdamW, a schedule of the global step, and a moving average of the weights.

    Args:
        model: The model to train.
        steps: The number of steps in all.
        learning_rate: The highest learning rate.
        weight_decay: The decay of the kernels of convolutions; norms and biases do not decay.
        clip_norm: The largest norm of one variable's gradient.
        shape: The shape of the decreasing part of the schedule, `polynomial` or `cosine`.
        power: The exponent of that part.
        warm_up_steps: The steps over which the learning rate rises.
        ema: The momentum of the moving average, or None for no average.
        xla: Whether XLA compiles the step.
    """
    optimizer = AveragedAdamW(
        WarmUpDecay(learning_rate, steps, warm_up_steps, shape, power),
        weight_decay=weight_decay,
        clipnorm=clip_norm,
        use_ema=ema is not None,
        ema_momentum=ema or 0.99,
    )
    # Scale and offset of a norm and the bias of a convolution are vectors; kernels are not.
    optimizer.exclude_from_weight_decay(var_list=[weight for weight in model.trainable_variables if weight.ndim == 1])
    model.compile(optimizer=optimizer, jit_compile=xla)


def fit(
    model: PatchTraining,
    *,
    training: Callable[[int], Inputs],
    validation: Sequence[Inputs],
    steps: int,
    epoch_steps: int,
    progress: Progress,
    keep: Callable[[Progress], None],
    keep_seconds: float,
    after_epoch: Callable[[keras.Model, Sequence[Row]], None],
    stop: Callable[[], bool] = lambda: False,
) -> list[Row]:
    """Train until `steps` steps are done.

    Args:
        model: A compiled model.
        training: The function that makes the batch of a global step, counted from 0.
        validation: The batches for the validation loss of each row, which steers nothing. May be empty.
        steps: The number of steps in all.
        epoch_steps: The steps per epoch. The history has one row per epoch.
        progress: The point to resume from.
        keep: The function that saves a checkpoint. It runs every `keep_seconds`, at the end, and before a stop.
        keep_seconds: The seconds between two checkpoints.
        after_epoch: The function that gets the model and the history after each epoch.
        stop: The function that says whether to stop. It runs after each step.

    Returns:
        One row per epoch. A row has epoch, step, learning_rate, loss and pseudo Dice; loss and pseudo Dice of
        validation have the prefix `val_`.

    Raises:
        StopTraining: `stop` returned True, and the state is saved.
        DivergedError: The loss is not a finite number.
    """
    checkpoints = CheckpointCallback(progress, keep=keep, seconds=keep_seconds, stop=stop)
    if progress.state is not None:
        model.optimizer.build(model.trainable_variables)
        put_state(model, progress.state)
        if progress.step % epoch_steps == 0:
            progress.state = None  # a new epoch starts with fresh means
    while progress.step < steps:
        epoch = progress.step // epoch_steps
        last = checkpoints.epoch_end = min((epoch + 1) * epoch_steps, steps)
        logs = model.fit(
            Batches(training, progress.step, last), epochs=1, shuffle=False, verbose=0, callbacks=[checkpoints]
        ).history
        finite(model, progress.step)
        rate = float(model.optimizer.learning_rate)
        row = {"epoch": epoch + 1, "step": progress.step, "learning_rate": rate, **_last(logs)}
        if validation:
            held_out = model.evaluate(_Fixed(validation), verbose=0, return_dict=True)
            row |= {f"val_{name}": float(value) for name, value in held_out.items()}
        progress.rows.append(row)
        after_epoch(model, progress.rows)
        checkpoints.pause(at_end=last == steps)
    return progress.rows


def averaged(model: PatchTraining) -> keras.Model:
    """Return the trained network, with the moving average as its weights if there is one."""
    model.optimizer.put_average(model.trainable_variables)
    return model.network


def take_state(model: PatchTraining) -> State:
    """Return every number that the next step depends on, except resident cases and noise, which stay the same."""
    return {name: np.array(keras.ops.convert_to_numpy(variable)) for name, variable in _variables(model)}


def put_state(model: PatchTraining, state: Mapping[str, NDArray[Any]]) -> None:
    """Set every number that the next step depends on; the inverse of `take_state`."""
    for name, variable in _variables(model):
        variable.assign(state[name])


def finite(model: PatchTraining, step: int) -> None:
    """Check that training has not diverged.

    Raises:
        DivergedError: The mean loss of this epoch is not a finite number.
    """
    if not math.isfinite(float(model.metrics[0].result())):
        raise DivergedError(
            f"step {step}",
            "the recipe's optimizer.learning_rate or optimizer.clip_norm, or set train.precision=float32",
        )


class _Fixed(keras.utils.PyDataset):  # type: ignore[misc]  # Keras declares no types
    def __init__(self, batches: Sequence[Inputs]) -> None:
        super().__init__(workers=2, use_multiprocessing=False)
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Inputs]:
        return (self._batches[index],)


def _variables(model: PatchTraining) -> list[tuple[str, Any]]:
    fixed = {
        id(variable) for layer in (model.resident, model.noise) if layer is not None for variable in layer.variables
    }
    groups = {"model": model.variables, "optimizer": model.optimizer.variables}
    groups["metric"] = [variable for metric in model.metrics for variable in metric.variables]
    return [
        (f"{group}.{index:04d}", variable)
        for group, variables in groups.items()
        for index, variable in enumerate(variable for variable in variables if id(variable) not in fixed)
    ]


def _last(logs: Mapping[str, Sequence[float]]) -> Row:
    return {name: float(values[-1]) for name, values in logs.items()}
