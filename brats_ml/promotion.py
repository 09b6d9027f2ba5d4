"""The rule of the gate: floors for the candidate, and a paired comparison with the champion on the same locked cases.

The rule is a pure function of scores.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

Verdict = Literal["PROMOTE", "HOLD", "REJECT"]
Scores = Mapping[str, NDArray[np.float64]]  # one value per case for each score, in one order of cases


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Decision:
    """The verdict of the gate, with its reasons as sentences."""

    verdict: Verdict
    reasons: list[str]
    measured: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return a record that JSON can hold."""
        return asdict(self)


def paired_interval(differences: NDArray[np.float64], *, resamples: int, seed: int) -> Interval:
    """Return the mean of differences per case with its percentile bootstrap interval.

    Args:
        differences: Candidate minus champion, shape (case,), at least one.
        resamples: Number of resamples.
        seed: Seed of the resampling.
    """
    mean = float(differences.mean())
    if differences.size < 2 or np.ptp(differences) == 0:
        return Interval(mean, mean, mean)
    found = bootstrap(
        (differences,), np.mean, n_resamples=resamples, method="percentile", rng=np.random.default_rng(seed)
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high))


def decide(
    candidate: Scores,
    champion: Scores | None,
    *,
    floors: Mapping[str, float],
    non_inferiority: float,
    minimum_cases: int,
    minimum_paired: int,
    resamples: int,
    seed: int,
) -> Decision:
    """Decide on a candidate from its scores on the locked cases.

    The verdict is HOLD if a score is not finite or with fewer than `minimum_cases` cases, and REJECT if a mean is below
    its floor. Otherwise a candidate without a champion is promoted. With a champion, two conditions have to hold for
    PROMOTE: the interval of the paired difference of the mean over all scores is above zero, and no interval of a
    single score reaches below `-non_inferiority`.

    Args:
        candidate: Values of each score, shape (case,).
        champion: Values of the champion on the same cases in the same order, or None without a champion.
        floors: Smallest accepted mean of each score.
        non_inferiority: Largest accepted loss of a score.
        minimum_cases: Smallest number of cases for a decision.
        minimum_paired: Smallest number of cases for a comparison with a champion.
        resamples: Number of resamples of the bootstrap.
        seed: Seed of the resampling.
    """
    cases = len(next(iter(candidate.values())))
    if unusable := _not_finite(candidate, champion):
        return Decision("HOLD", unusable, {"cases": cases})
    means = {name: float(values.mean()) for name, values in candidate.items()} if cases else {}
    measured: dict[str, Any] = {"cases": cases, "candidate": means}
    if cases < minimum_cases:
        return Decision("HOLD", [f"{cases} locked case(s), fewer than the {minimum_cases} the gate asks for"], measured)
    low = [
        f"{name} {means[name]:.3f} is below its floor {floor:.3f}"
        for name, floor in floors.items()
        if means[name] < floor
    ]
    if low:
        return Decision("REJECT", low, measured)
    if champion is None:
        return Decision("PROMOTE", ["every floor is reached and there is no champion to compare with"], measured)
    if cases < minimum_paired:
        reason = f"{cases} locked case(s) unknown to the champion, fewer than the {minimum_paired} of a comparison"
        return Decision("HOLD", [reason], measured)
    intervals = {
        name: paired_interval(candidate[name] - champion[name], resamples=resamples, seed=seed) for name in candidate
    }
    overall = np.mean([candidate[name] - champion[name] for name in candidate], axis=0)
    intervals["mean"] = paired_interval(overall, resamples=resamples, seed=seed)
    measured["difference"] = {name: asdict(interval) for name, interval in intervals.items()}
    measured["champion"] = {name: float(values.mean()) for name, values in champion.items()}
    return _against_champion(intervals, non_inferiority, measured)


def _not_finite(candidate: Scores, champion: Scores | None) -> list[str]:
    """Return one sentence per score with a value that is not finite."""
    scores = {"the candidate": candidate} | ({"the champion": champion} if champion is not None else {})
    return [
        f"{name} of {whose} is not finite in {count} locked case(s): evaluate it again"
        for whose, values in scores.items()
        for name, column in values.items()
        if (count := int((~np.isfinite(column)).sum()))
    ]


def _against_champion(intervals: Mapping[str, Interval], margin: float, measured: dict[str, Any]) -> Decision:
    overall = intervals["mean"]
    difference = f"{overall.mean:+.3f} against the champion, interval {overall.low:+.3f} to {overall.high:+.3f}"
    if overall.high < 0:
        return Decision("REJECT", [f"worse on the whole: {difference}"], measured)
    if overall.low <= 0:
        return Decision("HOLD", [f"not shown to be better: {difference}"], measured)
    fallen = [
        f"{name} may have lost {-interval.low:.3f}, more than the {margin:.3f} allowed"
        for name, interval in intervals.items()
        if interval.low < -margin
    ]
    if fallen:
        return Decision("HOLD", fallen, measured)
    return Decision("PROMOTE", [f"better: {difference}"], measured)
