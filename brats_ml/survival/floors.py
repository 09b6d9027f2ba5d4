"""What a survival model reaches without skill, or with perfect skill, on as many patients: the scale of its scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.clinical import GROUPS
from brats_ml.survival.scores import calibration_error

Values = NDArray[np.float64]
DRAWS = 400


@dataclass(frozen=True)
class CalibrationFloor:
    """The calibration error of a perfectly calibrated model on a finite number of patients.

    Attributes:
        mean: The expected error.
        high: The error that 95 % of perfectly calibrated models do not exceed.
    """

    mean: float
    high: float


def calibration_floor(probabilities: Values, *, seed: int, draws: int = DRAWS) -> CalibrationFloor:
    """Return the calibration error that chance alone causes, by simulation.

    Each draw assigns every patient a group with the predicted probabilities, so the model is right by construction. The
    error is computed as that of the model: per repetition, then averaged over the repetitions.

    Args:
        probabilities: Of `GROUPS` in their order, shape (repetition, patient, group).
        seed: Seed of the draws.
        draws: Number of simulated cohorts.

    Raises:
        ValueError: There is no patient, or a probability is not finite.
    """
    if not probabilities.size or not np.isfinite(probabilities).all():
        raise ValueError("a floor of the calibration error needs finite probabilities of at least one patient")
    random = np.random.default_rng(seed)
    errors = np.zeros(draws)
    for predicted in probabilities:
        steps = predicted.cumsum(axis=1)
        # The division makes the last step exactly 1, whatever the rounding of the probabilities.
        below = random.random((draws, len(predicted), 1)) < steps / steps[:, -1:]
        truth = np.array(GROUPS)[below.argmax(axis=2)]
        errors += calibration_error(truth, np.broadcast_to(predicted, (draws, *predicted.shape)))
    errors /= len(probabilities)
    return CalibrationFloor(float(errors.mean()), float(np.quantile(errors, 0.95)))


def mean_prediction_errors(days: Values) -> dict[str, float]:
    """Return the mean and the median squared error, in days squared, if the prediction is the mean of all others.

    Args:
        days: Day of death, shape (patient,), at least two.

    Raises:
        ValueError: There are fewer than two patients.
    """
    if len(days) < 2:
        raise ValueError("the mean of the other patients needs at least two patients")
    others = (days.sum() - days) / (len(days) - 1)
    errors = (days - others) ** 2
    return {"mean_squared_error": float(errors.mean()), "median_squared_error": float(np.median(errors))}
