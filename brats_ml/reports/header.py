"""Data of the report's header: what was compared, on whom, by which code, and what has changed since the last time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from brats_ml.intervals import Interval


@dataclass(frozen=True)
class Header:
    """What the figures of a report are about.

    Attributes:
        date: The day of the commit, or None outside git.
        commit: The commit of the checkout, or None outside git.
        dirty: Whether tracked files differed from the commit.
        source: Where the cohort is from.
        cohort: A digest of the cohort's listing.
        synthetic: Whether the patients are synthetic.
        cases: The number of valid cases.
        releases: The number of valid cases of each label scheme.
        patients: The number of patients with images in each part.
        runs: The keys of the trainings by recipe, which MLflow has as tags.
        validation: The address of the validation page, relative to the report.
    """

    date: str | None
    commit: str | None
    dirty: bool
    source: str
    cohort: str
    synthetic: bool
    cases: int
    releases: Mapping[str, int]
    patients: Mapping[str, int]
    runs: Mapping[str, str]
    validation: str


@dataclass(frozen=True)
class ScoreChange:
    """A score of a recipe or estimator before and now; None where it was not measured.

    Attributes:
        name: The recipe or estimator.
        measure: What the score is.
        before: The score of the previous comparison.
        now: The present score.
    """

    name: str
    measure: str
    before: float | None
    now: float | None

    @property
    def difference(self) -> float | None:
        """The present score minus the earlier one, or None if one of them is unknown."""
        return None if self.before is None or self.now is None else self.now - self.before


@dataclass(frozen=True)
class Previous:
    """The comparison that was computed before this one.

    Attributes:
        date: The day of its commit, or None.
        commit: Its commit, or None.
        same_cohort: Whether the listing of its cohort was the same.
        recipe: Its nominated recipe, or None.
        changes: The scores of all recipes and estimators of both.
        shared: The number of validation cases that both nominees were measured on.
        gain: The mean gain in Dice of the present nominee over the earlier one on these cases, or None without any.
    """

    date: str | None
    commit: str | None
    same_cohort: bool
    recipe: str | None
    changes: Sequence[ScoreChange]
    shared: int
    gain: Interval | None
