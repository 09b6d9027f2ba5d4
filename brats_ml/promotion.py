"""The rule of the gate: floors for the candidate, and a paired comparison with the champion on the same locked cases.

The rule is a pure function of scores. `benchmarks/gate.py` simulates it, and docs/decisions/0016 says why it is so.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["PROMOTE", "HOLD", "REJECT"]
Scores = Mapping[str, NDArray[np.float64]]  # one value per case for each score, in one order of cases; more is better
CHAMPION = "the champion"
# Differences count in this many steps, so that sums of them are whole numbers and their distribution is exact.
STEPS = 100


@dataclass(frozen=True)
class Comparison:
    """Thresholds of the comparison with a champion; differences are candidate minus champion.

    Attributes:
        level: Largest probability that the first look at the cases promotes a candidate that is no better.
        half_level_looks: Number of earlier looks at the cases that halves the level.
        largest_difference: A larger difference of one score in one case counts as this one.
        largest_loss: Loss of the mean of one score that is still accepted.
        fall: A case falls if the mean of its scores loses more than this.
        fallen_share: Share of the cases that may fall.
    """

    level: float
    half_level_looks: float
    largest_difference: float
    largest_loss: float
    fall: float
    fallen_share: float

    def level_after(self, looks: int) -> float:
        """Return the level after a number of earlier looks.

        With the shipped thresholds the levels of 50 looks add up to 0.101. So at most that share of all sequences of 50
        candidates that are no better promotes one of them, however their scores depend on each other.
        """
        return self.level / (1 + looks / self.half_level_looks)


@dataclass(frozen=True)
class Decision:
    """The verdict of the gate, with its reasons as sentences."""

    verdict: Verdict
    reasons: list[str]
    measured: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return a record that JSON can hold."""
        return asdict(self)


def decide(
    candidate: Scores,
    champion: Scores | None,
    *,
    floors: Mapping[str, float],
    minimum_cases: int,
    comparison: Comparison,
    looks: int,
    reference: str = CHAMPION,
) -> Decision:
    """Decide on a candidate from its scores on the locked cases.

    The verdict is HOLD if a score is not finite or with fewer than `minimum_cases` cases, and REJECT if a mean is below
    its floor. Otherwise a candidate without a champion is promoted. With a champion, PROMOTE needs four conditions:
    `sign_flip_p_value` of the differences is at most the level, the mean over cases and scores is higher, no score
    loses more than `largest_loss`, and no more than `fallen_share` of the cases fall. A candidate that is worse by the
    same test is rejected.

    Args:
        candidate: Values of each score, shape (case,).
        champion: Values of the champion on the same cases in the same order, or None without a champion.
        floors: Smallest accepted mean of each score.
        minimum_cases: Smallest number of cases for a decision.
        comparison: Thresholds of the comparison with the champion.
        looks: Number of earlier candidates that were judged on these cases.
        reference: The name of whom `champion` scores, if the candidate is compared with something else.
    """
    cases = len(next(iter(candidate.values())))
    if unusable := _not_finite(candidate, champion):
        return Decision("HOLD", unusable, {"cases": cases})
    means = {name: float(values.mean()) for name, values in candidate.items()} if cases else {}
    measured: dict[str, Any] = {"cases": cases, "looks": looks, "candidate": means}
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
    measured["against"] = reference
    measured["champion"] = {name: float(values.mean()) for name, values in champion.items()} if cases else {}
    differences = np.array([candidate[name] - champion[name] for name in candidate])
    return _against_champion(differences, list(candidate), comparison, comparison.level_after(looks), measured)


def sign_flip_p_value(differences: NDArray[np.int64]) -> float:
    """Return the one-sided p-value of a mean difference of 0 against a higher one.

    If candidate and champion are alike, each difference is as probable as its negative. The p-value is the share of all
    2^cases choices of signs with a sum as high as the observed one (R. A. Fisher, "The Design of Experiments", 1935).
    It is exact, also with ties and zeros, and does not depend on the order of the cases. A higher difference never
    raises it.

    Args:
        differences: Candidate minus champion in whole steps, shape (case,).
    """
    # A choice of signs has such a sum if the differences that it makes negative add up to at most what is negative now.
    lost = int(-differences[differences < 0].sum())
    share = np.zeros(lost + 1)  # of the choices, by the sum of what they make negative
    share[0] = 1.0
    for size in np.abs(differences):
        negative = share[: max(lost + 1 - size, 0)] / 2
        share /= 2
        share[size:] += negative
    return float(share.sum())


def in_steps(differences: NDArray[np.float64], largest: float) -> NDArray[np.int64]:
    """Return the differences of each case, added up over the scores, in whole steps.

    One score of one case counts `largest` at most. A segmentation that fails on one case would hide all other cases
    otherwise.

    Args:
        differences: Candidate minus champion, shape (score, case).
        largest: The difference that is `STEPS` steps.
    """
    steps = np.rint(np.clip(differences / largest, -1, 1) * STEPS).astype(np.int64)
    return np.asarray(steps.sum(axis=0))


def _not_finite(candidate: Scores, champion: Scores | None) -> list[str]:
    """Return one sentence per score with a value that is not finite."""
    scores = {"the candidate": candidate} | ({"the champion": champion} if champion is not None else {})
    return [
        f"{name} of {whose} is not finite in {count} locked case(s): evaluate it again"
        for whose, values in scores.items()
        for name, column in values.items()
        if (count := int((~np.isfinite(column)).sum()))
    ]


def _against_champion(
    differences: NDArray[np.float64], names: list[str], limits: Comparison, level: float, measured: dict[str, Any]
) -> Decision:
    cases, least = differences.shape[1], 0.5 ** differences.shape[1]
    if least > level:
        reason = (
            f"{cases} locked case(s) reach p = {least:.2g} at best, above the level {level:.2g}: lock more patients"
        )
        return Decision("HOLD", [reason], measured)
    steps, by_case = in_steps(differences, limits.largest_difference), differences.mean(axis=0)
    p_value, gain = sign_flip_p_value(steps), float(by_case.mean())
    means = dict(zip(names, differences.mean(axis=1).tolist(), strict=True))
    fallen = int((by_case < -limits.fall).sum())
    measured |= {"difference": means | {"mean": gain}, "p": p_value, "level": level, "fallen": fallen}
    said = f"{gain:+.3f} against {measured['against']}, p = {p_value:.2g} at level {level:.2g}"
    if p_value > level or gain <= 0:
        worse = gain < 0 and sign_flip_p_value(-steps) <= level
        return (
            Decision("REJECT", [f"worse: {said}"], measured)
            if worse
            else Decision("HOLD", [f"not shown to be better: {said}"], measured)
        )
    lost = [
        f"{name} lost {-mean:.3f}, more than the {limits.largest_loss:.3f} allowed"
        for name, mean in means.items()
        if mean < -limits.largest_loss
    ]
    if fallen > limits.fallen_share * cases:
        lost.append(f"{fallen} of {cases} cases lost more than {limits.fall:.3f}, and {limits.fallen_share:.0%} may")
    return Decision("HOLD", lost, measured) if lost else Decision("PROMOTE", [f"better: {said}"], measured)
