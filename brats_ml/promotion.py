"""The gate's judgement: thresholds, and a paired test against the champion on the same locked cases. Pure."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

Verdict = Literal["PROMOTE", "HOLD", "REJECT"]
Scores = Mapping[str, NDArray[np.float64]]  # name of a score to one value a case, in one order of cases


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Decision:
    """What the gate found, with its reasons as sentences."""

    verdict: Verdict
    reasons: list[str]
    measured: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready record."""
        return asdict(self)


def paired_interval(differences: NDArray[np.float64], *, resamples: int, seed: int) -> Interval:
    """Return the mean of per-case differences with its percentile bootstrap interval.

    Args:
        differences: Candidate minus champion, one value a case; at least one.
        resamples: Bootstrap samples.
        seed: Of the resampling.
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
    """Judge a candidate on the locked cases.

    Below `minimum_cases` nothing is judged: HOLD. A mean below its floor: REJECT. Without a champion, the floors
    suffice. With one, the mean over all scores must be shown to rise (the interval of the paired difference lies above
    zero) while no single score is shown, or left possible, to fall by more than `non_inferiority`.

    Args:
        candidate: Score name to values, shape (case,).
        champion: The same of the champion on the same cases in the same order, or None where there is none.
        floors: Least mean of each score.
        non_inferiority: What a score may lose.
        minimum_cases: Least number of cases.
        minimum_paired: Least number of cases for a comparison with a champion.
        resamples: Bootstrap samples.
        seed: Of the resampling.
    """
    cases = len(next(iter(candidate.values())))
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


def _against_champion(intervals: Mapping[str, Interval], margin: float, measured: dict[str, Any]) -> Decision:
    overall = intervals["mean"]
    shown = f"{overall.mean:+.3f} against the champion, interval {overall.low:+.3f} to {overall.high:+.3f}"
    if overall.high < 0:
        return Decision("REJECT", [f"worse on the whole: {shown}"], measured)
    if overall.low <= 0:
        return Decision("HOLD", [f"not shown to be better: {shown}"], measured)
    fallen = [
        f"{name} may have lost {-interval.low:.3f}, more than the {margin:.3f} allowed"
        for name, interval in intervals.items()
        if interval.low < -margin
    ]
    if fallen:
        return Decision("HOLD", fallen, measured)
    return Decision("PROMOTE", [f"better: {shown}"], measured)
