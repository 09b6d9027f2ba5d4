"""Compute learning rates from the history or the step alone, so that a resumed training continues unchanged."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def plateau_rate(losses: Sequence[float], *, initial: float, factor: float, patience: int, minimum: float) -> float:
    """Return the learning rate of the next epoch, which falls whenever the loss stops falling.

    This is the rule of `keras.callbacks.ReduceLROnPlateau` with its default `min_delta` of 1e-4. It depends on the
    losses so far, and not on the state of a callback.

    Args:
        losses: The loss of each finished epoch.
        initial: The learning rate of the first epoch.
        factor: The factor by which the rate falls after `patience` epochs without a lower loss.
        patience: The epochs to wait.
        minimum: The lowest learning rate.
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
    """A learning rate that rises linearly and falls to 0 at the last step, along a polynomial or a cosine."""

    def __init__(self, peak: float, steps: int, warm_up_steps: int, shape: str, power: float) -> None:
        """Keep the parameters.

        Args:
            peak: The highest learning rate.
            steps: The number of steps in all.
            warm_up_steps: The steps over which the rate rises.
            shape: The shape of the decreasing part, `polynomial` or `cosine`.
            power: The exponent of the decreasing part.
        """
        self.peak, self.steps, self.warm_up_steps, self.shape, self.power = peak, steps, warm_up_steps, shape, power

    def __call__(self, step: Any) -> Any:
        """Return the rate of a step, counted from 0."""
        at = ops.cast(step, "float32")
        rise = ops.minimum(1.0, (at + 1.0) / max(1, self.warm_up_steps))
        left = ops.maximum(0.0, 1.0 - at / self.steps)
        fall = left if self.shape == "polynomial" else 0.5 * (1.0 - ops.cos(np.pi * left))
        return self.peak * rise * fall**self.power

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild this schedule."""
        return dict(vars(self))
