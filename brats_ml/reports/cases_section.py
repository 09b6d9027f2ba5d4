"""Data of the report's section on single cases: one row per case, and what went wrong in which cases."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brats_ml.cohort.labels import REGIONS
from brats_ml.imaging.metrics.case import column

LITTLE_OVERLAP = 0.5
FAR_MM = 20.0
# What can go wrong with a region of a case. The last three count only cases in which both label maps have the region.
KINDS = {
    "missed": "the reference has the region, the prediction does not",
    "invented": "the prediction has the region, the reference does not",
    "overlap": f"Dice below {LITTLE_OVERLAP}",
    "size": "predicted volume below half or above twice that of the reference",
    "distance": f"HD95 above {FAR_MM:g} mm",
}


def sort_keys(regions: Iterable[str] = tuple(REGIONS)) -> dict[str, bool]:
    """Return the keys by which a reader can order the table: whether a larger value is worse."""
    named = list(regions)
    return {
        "dice": False,
        **{column("dice", region): False for region in named},
        **{column("hd95", region): True for region in named},
        **{column("reference_volume_mm3", region): True for region in named},
    }


@dataclass(frozen=True)
class CaseRow:
    """One case of an evaluation.

    Attributes:
        case_id: The name of the case.
        scores: Dice, HD95 in mm and volumes in mm3 by column; `dice` is the mean of the regions.
        places: The place of the case by each of `sort_keys`, from 1 for the worst, and by `name`.
        failures: For each region with a failure, its kinds.
    """

    case_id: str
    scores: Mapping[str, float]
    places: Mapping[str, int]
    failures: Mapping[str, tuple[str, ...]]


def case_rows(cases: pd.DataFrame, *, regions: Iterable[str] = tuple(REGIONS)) -> list[CaseRow]:
    """Return the cases of an evaluation, the worst mean Dice first.

    Args:
        cases: One row per case: `case_id`, and Dice, HD95 and both volumes of each region. They are NaN for a region
            that is not known of the case; its mean is over the other regions.
        regions: The regions of the cohort.
    """
    regions = list(regions)
    table = cases.assign(dice=cases[[column("dice", region) for region in regions]].mean(axis="columns"))
    table = table.sort_values("case_id", kind="stable").reset_index(drop=True)
    places = {"name": pd.Series(range(1, len(table) + 1), index=table.index)}
    for key, larger_is_worse in sort_keys(regions).items():
        ranks = table[key].rank(method="first", ascending=not larger_is_worse, na_option="bottom")
        places[key] = ranks.astype(int)
    kinds = {region: failures(table, region) for region in regions}
    rows = [
        CaseRow(
            str(table["case_id"][row]),
            {str(name): float(value) for name, value in table.loc[row].drop(["case_id", "patient"]).items()},
            {key: int(of_key[row]) for key, of_key in places.items()},
            {
                region: tuple(kind for kind in KINDS if found[kind][row])
                for region, found in kinds.items()
                if any(found[kind][row] for kind in KINDS)
            },
        )
        for row in table.index
    ]
    return sorted(rows, key=lambda row: row.places["dice"])


def failures(cases: pd.DataFrame, region: str) -> dict[str, "pd.Series[bool]"]:
    """Return for each of `KINDS` which cases have this failure of a region.

    Args:
        cases: One row per case: Dice, HD95 and both volumes of the region.
        region: A region.
    """
    predicted, reference = cases[column("volume_mm3", region)], cases[column("reference_volume_mm3", region)]
    both = (predicted > 0) & (reference > 0)
    ratio = predicted / reference.where(reference > 0, np.nan)
    return {
        "missed": (reference > 0) & (predicted == 0),
        "invented": (reference == 0) & (predicted > 0),
        "overlap": both & (cases[column("dice", region)] < LITTLE_OVERLAP),
        "size": both & ((ratio < 0.5) | (ratio > 2)),
        "distance": both & (cases[column("hd95", region)] > FAR_MM),
    }


def failed_cases(
    rows: Sequence[CaseRow], *, regions: Iterable[str] = tuple(REGIONS)
) -> dict[str, dict[str, list[str]]]:
    """Return the names of the failed cases by kind and region, the worst first."""
    regions = list(regions)
    return {
        kind: {region: [row.case_id for row in rows if kind in row.failures.get(region, ())] for region in regions}
        for kind in KINDS
    }
