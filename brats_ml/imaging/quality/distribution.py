"""Count the values of a volume once, and derive every statistic from the counts."""

import hashlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# Up to this range, whole numbers are counted in one pass instead of being sorted.
COUNTABLE_RANGE = 2**20
# Values that are counted at once, since counting needs 12 bytes for each.
AT_ONCE = 2**22
# With fewer voxels per level, most counts are 1, and counts alone no longer distinguish images.
GRADED_VOXELS = 4


@dataclass(frozen=True)
class Distribution:
    """How often each value occurs in a volume.

    Attributes:
        levels: The distinct finite values other than 0, ascending.
        counts: The number of voxels of each level.
        zeros: The number of voxels that are 0.
        not_finite: The number of voxels that are NaN or infinite.
    """

    levels: NDArray[np.float64]
    counts: NDArray[np.int64]
    zeros: int
    not_finite: int

    @classmethod
    def of(cls, volume: NDArray[Any]) -> Self:
        """Count the values of a volume of any shape and real type."""
        flat = volume.ravel(order="K")
        filled = flat[flat != 0]
        finite = filled if volume.dtype.kind in "iu" or np.isfinite(filled).all() else filled[np.isfinite(filled)]
        levels, counts = _count(finite)
        return cls(levels, counts, flat.size - filled.size, filled.size - finite.size)

    @property
    def size(self) -> int:
        """The number of voxels."""
        return self.nonzero + self.zeros + self.not_finite

    @property
    def nonzero(self) -> int:
        """The number of finite voxels other than 0."""
        return int(self.counts.sum())

    @property
    def minimum(self) -> float:
        """The smallest finite value, or 0 if there is none."""
        return float(min(self.levels[0], 0 if self.zeros else np.inf)) if self.levels.size else 0.0

    @property
    def maximum(self) -> float:
        """The largest finite value, or 0 if there is none."""
        return float(max(self.levels[-1], 0 if self.zeros else -np.inf)) if self.levels.size else 0.0

    @property
    def mean(self) -> float:
        """The mean of the finite values, zeros included; infinite if their sum overflows."""
        with np.errstate(over="ignore"):
            return float(self.levels @ self.counts / max(self.nonzero + self.zeros, 1))

    @property
    def negative(self) -> int:
        """The number of finite voxels below 0."""
        return int(self.counts[self.levels < 0].sum())

    def percentile(self, percent: float) -> float | None:
        """Return a percentile of the finite values other than 0, or None if there are none.

        It is the smallest of these values that at least `percent` % of them do not exceed.
        """
        if not self.levels.size:
            return None
        reached = np.cumsum(self.counts)
        return float(self.levels[np.searchsorted(reached, percent / 100 * reached[-1])])

    def digest(self) -> str:
        """Return a digest of the values other than 0, in hex.

        Copies of an image share the digest, whatever their type, padding or orientation. Different images practically
        never share it. If an image has few levels relative to its voxels, as images of whole numbers do, the digest
        covers the counts only. It then ignores the scale of the intensities, too.
        """
        is_graded = self.levels.size * GRADED_VOXELS > self.nonzero
        return hashlib.sha256((self.levels.tobytes() if is_graded else b"") + self.counts.tobytes()).hexdigest()


def _count(values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the distinct values of a finite one-dimensional array, and how often each occurs."""
    if not values.size:
        return np.empty(0), np.empty(0, dtype=np.int64)
    low, high = float(values.min()), float(values.max())
    if high - low < COUNTABLE_RANGE and abs(low) < 2**31 - COUNTABLE_RANGE:
        first = np.int32(low)
        counts = np.zeros(int(np.int32(high) - first) + 1, dtype=np.int64)
        for at in range(0, values.size, AT_ONCE):
            part = values[at : at + AT_ONCE]
            whole = part.astype(np.int32)
            if part.dtype.kind == "f" and (whole != part).any():
                break
            counts += np.bincount(whole - first, minlength=counts.size)
        else:
            present = np.flatnonzero(counts)
            return present + np.float64(first), counts[present]
    levels, counts = np.unique(values, return_counts=True)
    return levels.astype(np.float64), counts
