"""Learning rates as functions of what is already known, so that a resumed training continues as if never stopped."""

from collections.abc import Sequence


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
