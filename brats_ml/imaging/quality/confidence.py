"""Judge a prediction by its probabilities: calibrated by a temperature, expected Dice, entropy and disagreement.

All of it needs only how many voxels have which probability inside and outside the predicted region. So a case of
millions of voxels becomes a table of some thousand numbers, and a temperature is chosen without the case.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit, xlogy

# (region, 0 outside or 1 inside, bin): how many voxels have the logit of the bin.
Counts = NDArray[np.int64]

# Logits from here on count as certain. A probability in float32 reaches 16.
CERTAIN = 15
# Bins per unit of the logit; the error of a probability is at most 0.002.
RESOLUTION = 64
LOGITS = np.arange(-CERTAIN * RESOLUTION, CERTAIN * RESOLUTION + 1) / RESOLUTION
# Temperatures beyond these come from too few voxels.
TEMPERATURES = (0.2, 5.0)


def tabulate(probabilities: NDArray[np.float32], inside: NDArray[np.bool_]) -> Counts:
    """Count the voxels by their probability, apart by whether they are inside a mask.

    Args:
        probabilities: Shape (region, ...).
        inside: The mask of each region, of the same shape.

    Returns:
        Shape (region, 2, bin); the bins are those of `LOGITS`.
    """
    edge = np.float32(expit(-CERTAIN))
    tables = []
    for probability, mask in zip(probabilities, inside, strict=True):
        table = np.zeros((2, len(LOGITS)), dtype=np.int64)
        # Most voxels are outside the brain, with a probability of exactly 0.
        possible = (probability > 0) | mask
        table[0, 0] = possible.size - np.count_nonzero(possible)
        certain = np.clip(probability[possible], edge, 1 - edge)
        logits = np.log(certain) - np.log1p(-certain)
        bins = np.rint(logits * RESOLUTION).astype(np.int64) + CERTAIN * RESOLUTION
        codes = np.clip(bins, 0, len(LOGITS) - 1) + len(LOGITS) * mask[possible]
        tables.append(table + np.bincount(codes, minlength=table.size).reshape(table.shape))
    return np.stack(tables)


def calibrated(temperature: float) -> NDArray[np.float64]:
    """Return the probability of each bin at a temperature. The first and the last bin are certain: 0 and 1."""
    probability = expit(LOGITS / temperature)
    probability[[0, -1]] = 0, 1
    return np.asarray(probability, dtype=np.float64)


def at_temperatures(probabilities: NDArray[np.float32], temperatures: Sequence[float]) -> NDArray[np.float32]:
    """Return probabilities with their logits divided by the temperature of their region; 0, 0.5 and 1 stay.

    Args:
        probabilities: Shape (region, ...).
        temperatures: One for each region.
    """
    scaled = np.empty_like(probabilities)
    for place, temperature in enumerate(temperatures):
        scaled[place] = expit(logit(probabilities[place]) / np.float32(temperature))
    return scaled


def choose_temperature(counts: NDArray[np.int64]) -> float:
    """Return the temperature at which the logits of one region are most likely, given the reference.

    Args:
        counts: Shape (2, bin): the voxels outside and inside the reference, of cases that the network has not seen.

    Returns:
        A value within `TEMPERATURES`; 1 if no voxel is uncertain.

    Source:
        Guo et al. 2017, On Calibration of Modern Neural Networks, arXiv:1706.04599.
    """
    outside, inside = counts[:, 1:-1]
    if not (outside.any() or inside.any()):
        return 1.0

    def loss(logarithm: float) -> float:
        scaled = LOGITS[1:-1] / np.exp(logarithm)
        return float(outside @ np.logaddexp(0, scaled) + inside @ np.logaddexp(0, -scaled))

    low, high = np.log(TEMPERATURES)
    found: Any = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))


def expected_dice(counts: NDArray[np.int64], temperature: float = 1.0) -> float:
    """Return the Dice that a predicted region has on average, if its calibrated probabilities are right.

    That is 2 * sum(p * y) / (sum(p) + sum(y)), with the mean of the ratio taken as the ratio of the means. An empty
    prediction has a Dice of 1 if the reference is empty too, so it gets the probability that not even its most
    probable voxel belongs to the region, which is an upper limit.

    Args:
        counts: Shape (2, bin): the voxels outside and inside the prediction.
        temperature: The temperature of the region.

    Source:
        Li et al. 2022, Estimating Model Performance under Domain Shifts with Class-Specific Confidence Scores,
        doi:10.1007/978-3-031-16449-1_66.
    """
    probability = calibrated(temperature)
    size = counts[1].sum()
    if not size:
        return float(1 - probability[np.flatnonzero(counts[0])].max(initial=0))
    return float(2 * counts[1] @ probability / (counts.sum(axis=0) @ probability + size))


def expected_precision(counts: NDArray[np.int64], temperature: float = 1.0) -> float:
    """Return the share of a predicted region that belongs to it on average: the mean of its calibrated probabilities.

    An empty prediction gets what `expected_dice` gives it.

    Args:
        counts: Shape (2, bin): the voxels outside and inside the prediction.
        temperature: The temperature of the region.
    """
    size = counts[1].sum()
    return float(counts[1] @ calibrated(temperature) / size) if size else expected_dice(counts, temperature)


def mean_entropy(counts: Counts, temperatures: NDArray[np.float64]) -> float | None:
    """Return the mean entropy of a voxel in its predicted region, in nats, 0 to ln 2, as a mean over the regions.

    Args:
        counts: Shape (region, 2, bin): the voxels outside and inside the prediction.
        temperatures: The temperature of each region.

    Returns:
        None if no region was predicted.
    """
    means = []
    for (_, inside), temperature in zip(counts, temperatures, strict=True):
        probability = calibrated(float(temperature))
        entropy = -xlogy(probability, probability) - xlogy(1 - probability, 1 - probability)
        if inside.any():
            means.append(float(inside @ entropy / inside.sum()))
    return float(np.mean(means)) if means else None


def disagreement(mean: NDArray[np.float32], mean_square: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return by how much the predictions behind a mean differ: 0 where they are equal, up to 1, for each region.

    It is the variance over the voxels divided by the mean square, which is 1 less the soft Dice of the predictions
    with each other.

    Args:
        mean: The mean probability over windows, mirrored copies and folds, shape (region, ...).
        mean_square: The mean of the squared probabilities, of the same shape.
    """
    voxels = tuple(range(1, mean.ndim))
    square = np.square(mean, dtype=np.float64).sum(axis=voxels)
    total = mean_square.sum(axis=voxels, dtype=np.float64)
    share = np.divide(square, total, out=np.ones_like(square), where=total > 0)
    return np.asarray(np.clip(1 - share, 0, 1), dtype=np.float64)
