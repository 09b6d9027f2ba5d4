"""The rows of a model card on what trained the model: cohort, releases, counts, ages, split, code and data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from brats_ml import files
from brats_ml.adapters.tables import frames
from brats_ml.adapters.tracking.run_facts import cohort_profile
from brats_ml.redaction import redacted
from brats_ml.reports.model_card import UNKNOWN
from brats_ml.workspace import Workspace

Rows = list[tuple[str, str]]
# The tags of a version that say what it was made from.
COMMIT, DIRTY, DATA = "commit", "dirty", "data"


def cohort_rows(ws: Workspace, trained_on: Sequence[str] | None) -> Rows:
    """Return what the checkout knows of the patients; the locked ones are counted and not described.

    Args:
        ws: The checkout.
        trained_on: The training patients of the model, None where they are unknown.
    """
    profile = cohort_profile(ws)
    listing = files.read_json(ws.listing) if ws.listing.path.exists() else {}
    return [
        ("patients", who(profile)),
        ("source", redacted(str(listing["source"])) if "source" in listing else UNKNOWN),
        ("cases", _number(profile.get("num_rows"))),
        ("examined patients", _number(profile.get("patients"))),
        ("cases of each part", _counts(profile.get("split"))),
        ("label schemes of the releases, cases", _counts(profile.get("releases"))),
        ("training patients of this model", UNKNOWN if trained_on is None else str(len(set(trained_on)))),
        ("age of the training patients, years", _ages(ws, trained_on)),
        ("sex, origin, scanners, sites", UNKNOWN),
        ("who drew the reference label maps", UNKNOWN),
        ("digest of the split", files.digest_file(ws.splits.path) if ws.splits.path.exists() else UNKNOWN),
    ]


def who(profile: Mapping[str, Any]) -> str:
    """Return whether patients or phantoms made a cohort."""
    if "synthetic" not in profile:
        return UNKNOWN
    return "synthetic: computed phantoms, and no patient" if profile["synthetic"] else "real"


def cohort_line(ws: Workspace, trained_on: Sequence[str] | None) -> str:
    """Return the cohort in one sentence."""
    profile = cohort_profile(ws)
    count = "an unknown number of" if trained_on is None else str(len(set(trained_on)))
    kind = "synthetic patients (phantoms)" if profile.get("synthetic") else "patients"
    releases = _counts(profile.get("releases"))
    return f"{count} {kind} trained it; label schemes: {releases}; age in years: {_ages(ws, trained_on)}"


def origin_rows(tags: Mapping[str, str]) -> Rows:
    """Return what a version's tags say of its code and data."""
    commit = tags.get(COMMIT, UNKNOWN)
    return [
        ("commit", f"{commit}, with changes that were not committed" if tags.get(DIRTY) == "true" else commit),
        ("digest of the data", tags.get(DATA) or UNKNOWN),
    ]


def _ages(ws: Workspace, patients: Sequence[str] | None) -> str:
    """Return the median age and the middle 90 %, of the patients for whom a table has it."""
    source = ws.features("reference")
    if patients is None or not source.path.exists():
        return UNKNOWN
    table = frames.read_csv(source)
    if "age_years" not in table or "patient" not in table:
        return UNKNOWN
    ages = table[table["patient"].isin(list(patients))].drop_duplicates("patient")["age_years"].dropna()
    if ages.empty:
        return UNKNOWN
    low, middle, high = np.quantile(ages.to_numpy(dtype=np.float64), [0.05, 0.5, 0.95])
    missing = len(set(patients)) - len(ages)
    return f"median {middle:.0f}, 90 % from {low:.0f} to {high:.0f}" + (f"; {missing} unknown" if missing else "")


def _counts(counts: Mapping[str, int] | None) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) if counts else UNKNOWN


def _number(count: int | None) -> str:
    return UNKNOWN if count is None else str(count)
