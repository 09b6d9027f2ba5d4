"""The clinical tables of BraTS 2017-2020, whose columns change from year to year, as one."""

import re
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from brats_ml.errors import TableError

Group = Literal["short", "mid", "long"]
GROUPS: tuple[Group, ...] = get_args(Group)

CLINICAL_COLUMNS = ("patient", "age_years", "survival_days", "event", "resection")
OLDEST_YEARS = 120

# Column names of each year, read off the challenge's own tables.
PATIENT = ("Brats17ID", "BraTS18ID", "BraTS19ID", "Brats20ID", "BraTS20ID")
SURVIVAL = ("Survival", "Survival_days")
RESECTION = ("ResectionStatus", "Extent_of_Resection")
ALIVE = re.compile(r"ALIVE \((\d+) days later\)")

# What the derived table calls the share of each sub-region in the brain's volume.
RATIOS = {"NCR_NET_ratio": "ncr_ratio", "ED_ratio": "ed_ratio", "ET_ratio": "et_ratio"}


def survival_group(days: float, limits_days: tuple[int, int] | list[int]) -> Group:
    """Return `short` below the first limit, `long` above the second, `mid` between them, limits included."""
    first, second = limits_days
    if days < first:
        return "short"
    return "long" if days > second else "mid"


def parse_survival(table: pd.DataFrame, *, name: str) -> pd.DataFrame:
    """Return a survival table of any year in one form.

    Args:
        table: As read, with a column for the patient and one for the age; survival and resection may be absent, as in
            the challenge's evaluation tables.
        name: What to call the table in an error.

    Returns:
        One row a patient, sorted, with CLINICAL_COLUMNS: `event` is 1 for who died after `survival_days`, 0 for who was
        alive then, and NaN where survival is unknown; `resection` is GTR, STR or NA.

    Raises:
        TableError: A column is missing, a patient comes twice, or an age or a survival is impossible.
    """
    patient = _column(table, PATIENT, name)
    ages = _numbers(table, patient, "Age", name)
    found = [column for column in SURVIVAL if column in table]
    days, event = _survival(table, patient, found[0], name) if found else (pd.Series(np.nan, table.index),) * 2
    _refuse(table, patient, name, ages[(ages <= 0) | (ages > OLDEST_YEARS)], "is impossible")
    _refuse(table, patient, name, days[days < 0], "is impossible")
    _refuse(table, patient, name, table[patient][table[patient].duplicated()], "comes twice")
    resections = [column for column in RESECTION if column in table]
    resection = table[resections[0]].fillna("NA").astype(str).str.strip() if resections else "NA"
    parsed = pd.DataFrame(
        {"patient": table[patient].astype(str), "age_years": ages, "survival_days": days, "event": event}
    ).assign(resection=resection)
    return parsed.sort_values("patient", ignore_index=True)


def combine(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the clinical rows of several tables as `parse_survival` does, one row a patient.

    Args:
        tables: Name to table; those without an age column are no survival tables and are left out. Where two know a
            patient, the earlier one wins.

    Raises:
        TableError: As `parse_survival`.
    """
    parsed = [parse_survival(table, name=name) for name, table in tables.items() if "Age" in table]
    if not parsed:
        return pd.DataFrame(columns=list(CLINICAL_COLUMNS))
    return pd.concat(parsed).drop_duplicates("patient").sort_values("patient", ignore_index=True)


def features_from_table(table: pd.DataFrame, *, name: str) -> pd.DataFrame:
    """Return a table of ready-made survival features in the columns of features/<masks>.csv.

    Args:
        table: The columns of a survival table and those of RATIOS.
        name: What to call the table in an error.

    Raises:
        TableError: As `parse_survival`, or a ratio is missing, not a number, or outside 0 to 1.
    """
    clinical = parse_survival(table, name=name).set_index("patient")
    patient = _column(table, PATIENT, name)
    ratios = {}
    for source, target in RATIOS.items():
        values = _numbers(table, patient, source, name)
        _refuse(table, patient, name, values[(values < 0) | (values > 1)], "is outside 0 to 1")
        ratios[target] = values.to_numpy()
    shares = pd.DataFrame(ratios, index=table[patient].astype(str))
    joined = clinical.join(shares).reset_index(names="patient")
    columns = ["patient", "case_id", "age_years", *RATIOS.values(), "resection", "survival_days", "event"]
    return joined.assign(case_id=joined["patient"])[columns]


def _column(table: pd.DataFrame, names: tuple[str, ...], name: str) -> str:
    found = [column for column in names if column in table]
    if not found:
        raise TableError(name, f"has no column {' or '.join(names)}")
    return found[0]


def _survival(table: pd.DataFrame, patient: str, column: str, name: str) -> tuple["pd.Series[Any]", "pd.Series[Any]"]:
    """Return days and event; survivors are censored at the day on which they were last known to live."""
    text = table[column].astype(str).str.strip()
    censored = text.str.extract(ALIVE, expand=False)
    alive = censored.notna()
    days = _numbers(table.assign(**{column: table[column].where(~alive, censored)}), patient, column, name)
    event = pd.Series(np.where(days.isna(), np.nan, np.where(alive, 0.0, 1.0)), index=table.index)
    return days, event


def _numbers(table: pd.DataFrame, patient: str, column: str, name: str) -> "pd.Series[Any]":
    """Return a column as numbers; NA and the empty cell are unknown, anything else must be finite."""
    column = _column(table, (column,), name)
    known = table[column].replace({"NA": None, "": None})
    numbers = pd.to_numeric(known, errors="coerce").astype(float)
    wrong = known.notna() & ~np.isfinite(numbers)
    _refuse(table, patient, name, table[column][wrong], "is no number")
    return numbers


def _refuse(table: pd.DataFrame, patient: str, name: str, offending: "pd.Series[Any]", why: str) -> None:
    if len(offending):
        row = offending.index[0]
        raise TableError(name, f"row of {table.loc[row, patient]}: {offending.name} {offending.loc[row]} {why}")
