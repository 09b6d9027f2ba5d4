"""Learning rates as functions of what is already known, so that a resumed training continues as if never stopped."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def plateau_rate(losses: Sequence[float], *, initial: float, factor: float, patience: int, minimum: float) -> float:
    """Return the learning rate of the next epoch: lowered whenever the validation loss stops falling.

    The rule of `keras.callbacks.ReduceLROnPlateau` with its default `min_delta` of 1e-4, as a function of the losses
    so far instead of a callback with a memory.

    Args:
        losses: Validation loss of each finished epoch.
        initial: Learning rate of the first epoch.
        factor: What the rate is multiplied by after `patience` epochs without a lower loss.
        patience: Epochs to wait.
        minimum: The rate never falls below it.
    """
    rate, best, waited = initial, float("inf"), 0
    for loss in losses:
        if loss < best - 1e-4:
            best, waited = loss, 0
            continue
        waited += 1
        if waited >= patience and rate > minimum:
            rate, waited = max(rate * factor, minimum), 0
    return rate


@keras.saving.register_keras_serializable(package="brats_ml")
class WarmUpDecay(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]  # Keras has no types
    """A linear rise and then a polynomial or cosine fall to 0 at the last step, as a function of the global step."""

    def __init__(self, peak: float, steps: int, warm_up_steps: int, shape: str, power: float) -> None:
        """Take the highest rate, the number of steps, and the form of the fall: `polynomial` or `cosine`."""
        self.peak, self.steps, self.warm_up_steps, self.shape, self.power = peak, steps, warm_up_steps, shape, power

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, counted from 0."""
        at = ops.cast(step, "float32")
        rise = ops.minimum(1.0, (at + 1.0) / max(1, self.warm_up_steps))
        left = ops.maximum(0.0, 1.0 - at / self.steps)
        fall = left if self.shape == "polynomial" else 0.5 * (1.0 - ops.cos(np.pi * left))
        return self.peak * rise * fall**self.power

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make an equal schedule."""
        return dict(vars(self))
