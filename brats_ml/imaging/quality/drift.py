"""Decide whether a batch of cases looks like the cases that a model was trained on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

DRAWS = 4999
# Draws that are compared at once, since each needs 8 bytes a feature.
AT_ONCE = 500
# Added to the variance of each principal direction of the ranks, so that directions without spread count little.
RIDGE = 0.1
# Sums of equal ranks differ in their last bits by the order of their parts.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Drift:
    """What a comparison found.

    Attributes:
        p_value: The share of random batches of the same cases that differ as much, or more.
        shifts: The difference of the mean ranks of batch and training cases, in standard deviations, by feature; the
            largest comes first.
    """

    p_value: float
    shifts: Mapping[str, float]


def compare(
    training: Sequence[Mapping[str, float]], batch: Sequence[Mapping[str, float]], *, seed: int = 0
) -> Drift | None:
    """Compare the profiles of a batch with those of training cases; features that some case lacks are left out.

    The test permutes the cases: which of them are the batch. If training cases and batch are alike, each choice is
    equally likely, so a level of 0.05 raises at most one false alarm in 20 batches, however many features there are and
    however they depend on each other. The statistic is Hotelling's T squared of the features' ranks, with a ridge.
    It sees a change of several features that none of them shows alone.

    Args:
        training: Features by name of each training case.
        batch: The same of each new case.
        seed: Of the permutations.

    Returns:
        The comparison, or None if the cases share no feature that varies, or either side has none.
    """
    cases = [*training, *batch]
    shared = [name for name in (cases[0] if cases else {}) if all(name in case for case in cases)]
    if not shared or not training or not batch:
        return None
    ranks = rankdata(np.array([[case[name] for name in shared] for case in cases]), axis=0)
    spread = ranks.std(axis=0)
    kept = spread > 0
    if not kept.any():
        return None
    scaled = (ranks[:, kept] - ranks[:, kept].mean(axis=0)) / spread[kept]
    variances, directions = np.linalg.eigh(np.corrcoef(scaled, rowvar=False).reshape(scaled.shape[1], -1))
    whitened = scaled @ (directions / np.sqrt(variances.clip(0) + RIDGE))
    found, apart = scaled[len(training) :].mean(axis=0), whitened[len(training) :].mean(axis=0)
    as_far = sum(
        int(np.count_nonzero(distances >= apart @ apart - ROUNDING))
        for distances in _random_distances(whitened, len(batch), seed)
    )
    names = np.array(shared)[kept]
    order = np.argsort(-np.abs(found), kind="stable")
    # With this factor, the mean rank of a random batch has a standard deviation of 1.
    factor = np.sqrt(len(batch) * (len(cases) - 1) / len(training))
    return Drift((1 + as_far) / (1 + DRAWS), {str(names[at]): round(float(found[at] * factor), 3) for at in order})


def _random_distances(whitened: NDArray[np.float64], size: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield the squared distances from 0 of the means of random batches of some size."""
    random = np.random.default_rng(seed)
    for begin in range(0, DRAWS, AT_ONCE):
        keys = random.random((min(AT_ONCE, DRAWS - begin), len(whitened)))
        chosen = np.zeros_like(keys)
        np.put_along_axis(chosen, np.argpartition(keys, size - 1, axis=1)[:, :size], 1.0, axis=1)
        yield np.square(chosen @ whitened / size).sum(axis=1)
