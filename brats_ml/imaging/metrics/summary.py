"""Summary of one metric over many cases: mean, median, interval of the mean, and the cases with an empty reference."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brats_ml.intervals import UNBOUNDED, Scale, Values, by_patient, mean_interval


@dataclass(frozen=True)
class Summary:
    """A metric over cases.

    Attributes:
        mean: Over every case.
        median: Over every case.
        low: Lower end of the 95 % interval of the mean, or None for fewer than two patients.
        high: Upper end of the interval, or None for fewer than two patients.
        interval: Name of the method that made the interval, or None for fewer than two patients.
        empty_reference: Number of cases with an empty reference. Such a case scores 0 or 1, or 0 or 373.13 mm.
        mean_without_empty: Mean over the other cases, or None if there are none.
    """

    mean: float
    median: float
    low: float | None
    high: float | None
    interval: str | None
    empty_reference: int
    mean_without_empty: float | None


def summarise(
    values: Values,
    *,
    empty: NDArray[np.bool_] | None = None,
    patients: Sequence[str] | None = None,
    scale: Scale = UNBOUNDED,
    seed: int = 0,
) -> Summary:
    """Return the summary of one metric.

    Args:
        values: Shape (case,), at least one, none of them NaN.
        empty: Cases with an empty reference, shape (case,); None for a metric without such cases.
        patients: The patient of each case, on whom the interval counts; None if each case has another.
        scale: The least and the greatest value of the metric.
        seed: Seed of the resampling.

    Raises:
        ValueError: There is no value, or one is NaN. A mean that silently leaves out a case would mislead.
    """
    if not values.size or np.isnan(values).any():
        raise ValueError("a summary needs values, none of them NaN")
    counted = values if empty is None else values[~empty]
    independent = values if patients is None else by_patient(values, patients)
    found = mean_interval(independent, scale=scale, seed=seed)
    return Summary(
        mean=found.mean,
        median=float(np.median(values)),
        low=found.low,
        high=found.high,
        interval=found.method,
        empty_reference=values.size - counted.size,
        mean_without_empty=float(counted.mean()) if counted.size else None,
    )
