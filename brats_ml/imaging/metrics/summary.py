"""One number a metric for many cases, and how sure it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

RESAMPLES = 9999
LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """A metric over cases.

    Attributes:
        mean: Over every case.
        median: Over every case.
        low: Lower end of the 95 % percentile bootstrap interval of the mean, or None for fewer than two cases.
        high: Upper end of it.
        empty_reference: Cases whose reference has nothing to find; by the rules such a case counts 0 or 1, 0 or 373.13.
        mean_without_empty: Mean over the others, or None where there are none.
    """

    mean: float
    median: float
    low: float | None
    high: float | None
    empty_reference: int
    mean_without_empty: float | None


def summarise(values: Values, *, empty: NDArray[np.bool_] | None = None, seed: int = 0) -> Summary:
    """Return the summary of one metric.

    Args:
        values: Shape (case,), at least one, none of them NaN.
        empty: Which cases have an empty reference; None where that has no meaning.
        seed: Of the resampling.

    Raises:
        ValueError: There is no value, or one is NaN: a case without a score may not drop out of a mean unseen.
    """
    if not values.size or np.isnan(values).any():
        raise ValueError("a summary needs values, none of them NaN")
    counted = values if empty is None else values[~empty]
    low, high = mean_interval(values, seed=seed)
    return Summary(
        mean=float(values.mean()),
        median=float(np.median(values)),
        low=low,
        high=high,
        empty_reference=values.size - counted.size,
        mean_without_empty=float(counted.mean()) if counted.size else None,
    )


def mean_interval(values: Values, *, seed: int = 0) -> tuple[float | None, float | None]:
    """Return the ends of the 95 % percentile bootstrap interval of the mean, or None for fewer than two values.

    How often each value is drawn is drawn, not which: the same distribution at a fraction of the cost.
    """
    count = len(values)
    if count < 2:
        return None, None
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn @ values / count, [tail, 1 - tail])
    return float(low), float(high)
