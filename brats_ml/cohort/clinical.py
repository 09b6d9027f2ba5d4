"""The clinical tables of BraTS 2017-2020, whose columns change from year to year, in one form."""

import re
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from brats_ml.errors import TableError

Group = Literal["short", "mid", "long"]
GROUPS: tuple[Group, ...] = get_args(Group)

CLINICAL_COLUMNS = ("patient", "age_years", "survival_days", "event", "resection")
OLDEST_YEARS = 120
LONGEST_DAYS = OLDEST_YEARS * 365.25

# Column names of each year, read off the challenge's own tables; only their letters and digits are compared.
PATIENT = re.compile(r"brats(?:20)?(\d\d)(?:subject|patient|case)?id")
AGE = ("Age",)
SURVIVAL = ("Survival", "Survival_days")
RESECTION = ("ResectionStatus", "Extent_of_Resection")
RESECTIONS = ("GTR", "STR", "NA")
ALIVE = r"(?i)^\s*alive\s*\(?\s*(\d+)\s*days?(?:\s*later)?\s*\)?\s*$"
UNKNOWN = ("", "na", "n/a", "nan")
REMEDY = "correct it, or write NA where it is unknown"

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
        TableError: A column is missing or there are two for one thing, a row has no patient, a patient comes twice, or
            an age, a survival or a resection is impossible.
    """
    patients = _patients(table, name)
    twice = patients[patients.duplicated()]
    if len(twice):
        raise TableError(name, f"row of {twice.iloc[0]}: {patients.name} {twice.iloc[0]} comes twice; remove one")
    ages = _numbers(patients, table[_column(table, AGE, name)], name)
    _refuse(patients, name, ages[(ages <= 0) | (ages > OLDEST_YEARS)], "is impossible, as ages are years")
    days, event = _survival(patients, table, name)
    whole = days.isna() | (days == days.round())
    impossible = days[(days < 0) | (days > LONGEST_DAYS) | ~whole]
    _refuse(patients, name, impossible, "is impossible, as survival is whole days")
    parsed = pd.DataFrame({"patient": patients, "age_years": ages, "survival_days": days, "event": event})
    return parsed.assign(resection=_resection(patients, table, name)).sort_values("patient", ignore_index=True)


def patient_names(table: pd.DataFrame, *, name: str) -> list[str]:
    """Return the names of a survival table's patients.

    Raises:
        TableError: The table has no column for the patient, or a row has none.
    """
    return _patients(table, name).tolist()


def patient_year(table: pd.DataFrame, *, name: str) -> int:
    """Return the year of the release whose names a survival table uses.

    Raises:
        TableError: The table has no column for the patient.
    """
    found = PATIENT.fullmatch(_plain(_patient_column(table, name)))
    return 2000 + int(found[1]) if found else 0


def features_from_table(table: pd.DataFrame, *, name: str) -> pd.DataFrame:
    """Return a table of ready-made survival features in the columns of features/<masks>.csv.

    Args:
        table: The columns of a survival table and those of RATIOS.
        name: What to call the table in an error.

    Raises:
        TableError: As `parse_survival`, or a ratio is missing, not a number, or outside 0 to 1.
    """
    clinical = parse_survival(table, name=name).set_index("patient")
    patients = _patients(table, name)
    ratios = {}
    for source, target in RATIOS.items():
        values = _numbers(patients, table[_column(table, (source,), name)], name)
        _refuse(patients, name, values[(values < 0) | (values > 1)], "is outside 0 to 1")
        ratios[target] = values.to_numpy()
    shares = pd.DataFrame(ratios, index=patients.to_numpy())
    joined = clinical.join(shares).reset_index(names="patient")
    columns = ["patient", "case_id", "age_years", *RATIOS.values(), "resection", "survival_days", "event"]
    return joined.assign(case_id=joined["patient"])[columns]


def has_ratios(table: pd.DataFrame) -> bool:
    """Return whether a table holds ready-made features, and so is derived from others."""
    return all(_matching(table, (source,)) for source in RATIOS)


def is_unknown(cell: object) -> bool:
    """Return whether a cell says that nothing is known: empty, NA or NaN."""
    return bool(pd.isna(cell)) or str(cell).strip().lower() in UNKNOWN  # type: ignore[call-overload]


def _matching(table: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    wanted = {_plain(name) for name in names}
    return [str(column) for column in table.columns if _plain(str(column)) in wanted]


def _plain(header: str) -> str:
    return re.sub(r"[\W_]", "", header).lower()


def _column(table: pd.DataFrame, names: tuple[str, ...], name: str) -> str:
    return _only(table, _matching(table, names), " or ".join(names), name)


def _patient_column(table: pd.DataFrame, name: str) -> str:
    found = [str(column) for column in table.columns if PATIENT.fullmatch(_plain(str(column)))]
    return _only(table, found, "Brats17ID or BraTS18ID or BraTS19ID or BraTS20ID", name)


def _only(table: pd.DataFrame, found: list[str], wanted: str, name: str) -> str:
    if not found:
        has = ", ".join(map(str, table.columns))
        raise TableError(name, f"has no column {wanted}; it has {has}: correct its header, or remove the table")
    if len(found) > 1:
        raise TableError(name, f"has two columns for one thing, {found[0]} and {found[1]}; remove one")
    return found[0]


def _patients(table: pd.DataFrame, name: str) -> "pd.Series[Any]":
    column = _patient_column(table, name)
    for number, cell in enumerate(table[column], start=1):
        if is_unknown(cell):
            raise TableError(name, f"row {number} below the header has no {column}; name its patient, or remove it")
    return table[column].astype(str).str.strip()


def _survival(patients: "pd.Series[Any]", table: pd.DataFrame, name: str) -> tuple["pd.Series[Any]", "pd.Series[Any]"]:
    """Return days and event; survivors are censored at the day on which they were last known to live."""
    if not _matching(table, SURVIVAL):
        return pd.Series(np.nan, table.index), pd.Series(np.nan, table.index)
    column = table[_column(table, SURVIVAL, name)].astype(object)
    censored = column.astype(str).str.extract(ALIVE, expand=False)
    alive = censored.notna()
    days = _numbers(patients, column.where(~alive, censored), name)
    event = pd.Series(np.where(days.isna(), np.nan, np.where(alive, 0.0, 1.0)), index=table.index)
    return days, event


def _resection(patients: "pd.Series[Any]", table: pd.DataFrame, name: str) -> "pd.Series[Any]":
    if not _matching(table, RESECTION):
        return pd.Series("NA", table.index)
    column = table[_column(table, RESECTION, name)].astype(object)
    known = column.mask(column.map(is_unknown), "NA").astype(str).str.strip().str.upper()
    _refuse(patients, name, column[~known.isin(RESECTIONS)], f"is not known, known are {', '.join(RESECTIONS)}")
    return known


def _numbers(patients: "pd.Series[Any]", column: "pd.Series[Any]", name: str) -> "pd.Series[Any]":
    """Return a column as numbers; NA and the empty cell are unknown, anything else must be finite."""
    unknown = column.map(is_unknown).astype(bool)
    numbers = pd.to_numeric(column.mask(unknown), errors="coerce").astype(float)
    _refuse(patients, name, column[~unknown & ~np.isfinite(numbers)], "is no number")
    return numbers


def _refuse(patients: "pd.Series[Any]", name: str, offending: "pd.Series[Any]", why: str) -> None:
    if len(offending):
        row = offending.index[0]
        raise TableError(name, f"row of {patients.loc[row]}: {offending.name} {offending.loc[row]} {why}; {REMEDY}")
