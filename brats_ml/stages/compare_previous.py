"""Keep the scores of each comparison in the state, and find those of the comparison before this one."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from brats_ml import files, locks
from brats_ml.cohort.names import patient_of
from brats_ml.errors import TableError
from brats_ml.intervals import by_patient, mean_interval
from brats_ml.reports.header import Header, Previous, ScoreChange
from brats_ml.workspace import Workspace

LOG = logging.getLogger(__name__)
# The date and the commit do not count: the same scores on another commit are the same comparison.
NOT_COMPARED = frozenset({"key", "date", "commit"})
# A record has the score of each validation case. Only the one before the present comparison is shown.
MOST_KEPT = 100


def record(
    header: Header, recipe: str | None, scores: list[dict[str, Any]], cases: Mapping[str, float]
) -> dict[str, Any]:
    """Return what the next report shows of a comparison.

    Args:
        header: The header of the report.
        recipe: The nominated recipe, or None.
        scores: Name, measure and score of each recipe and estimator.
        cases: The mean Dice of each validation case of the nominated recipe.
    """
    found = {
        "date": header.date,
        "commit": header.commit,
        "cohort": header.cohort,
        "recipe": recipe,
        "scores": scores,
        "cases": dict(cases),
    }
    key = files.digest_value({name: value for name, value in found.items() if name not in NOT_COMPARED})
    return {**found, "key": key}


def remember(ws: Workspace, present: dict[str, Any]) -> dict[str, Any] | None:
    """Keep the record of a comparison, and return the record before it, or None if it is the first.

    A comparison that is computed again is known by its scores. It keeps its place, so its report stays the same.
    """
    with locks.exclusive(ws.state.comparisons_lock, holder="another run, which compares its models"):
        known = _known(ws)
        keys = [earlier["key"] for earlier in known]
        if present["key"] in keys:
            place = keys.index(present["key"])
        else:
            place = len(known)
            files.write_sealed(ws.state.comparisons, {"comparisons": [*known, present][-MOST_KEPT:]})
    return known[place - 1] if place else None


def previous(before: Mapping[str, Any] | None, present: Mapping[str, Any], *, seed: int) -> Previous | None:
    """Return how a comparison differs from the record before it, or None without one.

    Args:
        before: The record of the previous comparison.
        present: The record of this comparison.
        seed: Seed of the interval.
    """
    if before is None:
        return None
    old, new = (
        {(score["name"], score["measure"]): score["score"] for score in of["scores"]} for of in (before, present)
    )
    shared = sorted(before["cases"].keys() & present["cases"].keys())
    differences = np.array([present["cases"][case] - before["cases"][case] for case in shared])
    gains = by_patient(differences, [patient_of(case) for case in shared])
    return Previous(
        date=before["date"],
        commit=before["commit"],
        same_cohort=before["cohort"] == present["cohort"],
        recipe=before["recipe"],
        changes=[ScoreChange(*name, old.get(name), new.get(name)) for name in dict.fromkeys([*new, *old])],
        shared=len(shared),
        gain=mean_interval(gains, seed=seed) if shared else None,
    )


def _known(ws: Workspace) -> list[dict[str, Any]]:
    kept = ws.state.comparisons
    if not kept.path.exists():
        return []
    try:
        known: list[dict[str, Any]] = files.read_sealed(kept)["comparisons"]
    except (TableError, IsADirectoryError, KeyError, TypeError):
        # A report without a comparison is worth more than a run that fails.
        aside = files.set_aside(kept.path)
        LOG.warning("%s was damaged and is now %s; this report has no previous run", kept, aside.name)
        return []
    return known
