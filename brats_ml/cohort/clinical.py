"""Bring the clinical tables of BraTS 2017-2020 into one form, since their columns change from year to year."""

import re
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from brats_ml.cohort.names import headers_shown, name_fault, quote_cell
from brats_ml.errors import TableError

Group = Literal["short", "mid", "long"]
GROUPS: tuple[Group, ...] = get_args(Group)

CLINICAL_COLUMNS = ("patient", "age_years", "survival_days", "event", "resection")
OLDEST_YEARS = 120
LONGEST_DAYS = OLDEST_YEARS * 365.25

# The column names of each year, from the challenge's own tables. Only letters and digits are compared.
PATIENT = re.compile(r"brats(?:20)?(\d\d)(?:subject|patient|case)?id")
# The column of a table of no release.
LAB_PATIENT = re.compile(r"(?:patient|subject|participant)(?:id|name)?")
AGE = ("Age",)
SURVIVAL = ("Survival", "Survival_days")
RESECTION = ("ResectionStatus", "Extent_of_Resection")
RESECTIONS = ("GTR", "STR", "NA")
ALIVE = r"(?i)^\s*alive\s*\(?\s*([0-9]+)\s*days?(?:\s*later)?\s*\)?\s*$"
DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)")
UNKNOWN = ("", "na", "n/a", "nan")
REMEDY = "correct it, or write NA where it is unknown"

# The share of each sub-region in the brain's volume, by its name in the derived table and by ours.
RATIOS = {"NCR_NET_ratio": "ncr_ratio", "ED_ratio": "ed_ratio", "ET_ratio": "et_ratio"}


def survival_group(days: float, limits_days: tuple[int, int] | list[int]) -> Group:
    """Return `short` below the first limit, `long` above the second, and `mid` from one limit to the other."""
    first, second = limits_days
    if days < first:
        return "short"
    return "long" if days > second else "mid"


def parse_survival(table: pd.DataFrame, *, name: str) -> pd.DataFrame:
    """Return a survival table of any year in one form.

    Args:
        table: The table as read, with a column for the patient and one for the age. Survival and resection may be
            absent, as in the challenge's evaluation tables.
        name: The name of the table in errors.

    Returns:
        One row per patient, sorted, with CLINICAL_COLUMNS. `event` is 1 if the patient died after `survival_days`, 0 if
        the patient was still alive then, and NaN if survival is unknown. `resection` is GTR, STR or NA.

    Raises:
        TableError: A column is missing or exists twice, a row has no valid name of a patient, a patient appears twice,
            or an age, survival or resection is impossible.
    """
    patients = _patients(table, name)
    twice = patients[patients.duplicated()]
    if len(twice):
        patient = quote_cell(twice.iloc[0])
        raise TableError(name, f"row of {patient}: {patients.name} {patient} appears twice; remove one")
    column = table[_column(table, AGE, name)]
    ages = _numbers(patients, column, name, decimal_comma=True)
    _refuse(patients, name, column[(ages <= 0) | (ages > OLDEST_YEARS)], "is impossible, since ages are in years")
    days, event = _survival(patients, table, name)
    parsed = pd.DataFrame({"patient": patients, "age_years": ages, "survival_days": days, "event": event})
    return parsed.assign(resection=_resection(patients, table, name)).sort_values("patient", ignore_index=True)


def patient_names(table: pd.DataFrame, *, name: str) -> list[str]:
    """Return the names of a survival table's patients.

    Raises:
        TableError: The table has no column for the patient, or a row has none.
    """
    return _patients(table, name).tolist()


def patient_year(table: pd.DataFrame, *, name: str) -> int:
    """Return the year of a survival table, from the header of its patient column.

    Raises:
        TableError: The table has no column for the patient.
    """
    found = PATIENT.fullmatch(_plain(_patient_column(table, name)))
    return 2000 + int(found[1]) if found else 0


def features_from_table(table: pd.DataFrame, *, name: str) -> pd.DataFrame:
    """Return a table of ready-made survival features with the columns of features/<masks>.csv.

    Args:
        table: A table with the columns of a survival table and those of RATIOS.
        name: The name of the table in errors.

    Raises:
        TableError: As in `parse_survival`, or a column of RATIOS is missing or holds a value outside 0 to 1.
    """
    clinical = parse_survival(table, name=name).set_index("patient")
    patients = _patients(table, name)
    ratios = {}
    for source, target in RATIOS.items():
        column = table[_column(table, (source,), name)]
        values = _numbers(patients, column, name, decimal_comma=True)
        _refuse(patients, name, column[(values < 0) | (values > 1)], "is outside 0 to 1")
        ratios[target] = values.to_numpy()
    shares = pd.DataFrame(ratios, index=patients.to_numpy())
    joined = clinical.join(shares).reset_index(names="patient")
    columns = ["patient", "case_id", "age_years", *RATIOS.values(), "resection", "survival_days", "event"]
    return joined.assign(case_id=joined["patient"])[columns]


def has_ratios(table: pd.DataFrame) -> bool:
    """Return whether a table holds ready-made features, which are derived from other tables."""
    return all(_matching(table, (source,)) for source in RATIOS)


def is_unknown(cell: object) -> bool:
    """Return whether a cell marks an unknown value: it is empty, NA or NaN."""
    return bool(pd.isna(cell)) or str(cell).strip().lower() in UNKNOWN  # type: ignore[call-overload]


def _matching(table: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    wanted = {_plain(name) for name in names}
    return [str(column) for column in table.columns if _plain(str(column)) in wanted]


def _plain(header: str) -> str:
    return re.sub(r"[\W_]", "", header).lower()


def _column(table: pd.DataFrame, names: tuple[str, ...], name: str) -> str:
    return _only(table, _matching(table, names), " or ".join(names), name)


def _patient_column(table: pd.DataFrame, name: str) -> str:
    headers = list(map(str, table.columns))
    found = [header for header in headers if PATIENT.fullmatch(_plain(header))]
    found = found or [header for header in headers if LAB_PATIENT.fullmatch(_plain(header))]
    return _only(table, found, "Brats17ID or BraTS18ID or BraTS19ID or BraTS20ID or patient_id", name)


def _only(table: pd.DataFrame, found: list[str], wanted: str, name: str) -> str:
    if not found:
        raise TableError(
            name,
            f"has no column {wanted}; it has {headers_shown(table.columns)}: correct its header, or remove the table",
        )
    if len(found) > 1:
        raise TableError(name, f"has two columns for the same thing, {found[0]} and {found[1]}; remove one")
    return found[0]


def _patients(table: pd.DataFrame, name: str) -> "pd.Series[Any]":
    column = _patient_column(table, name)
    patients = table[column].astype(str).str.strip()
    numbered = patients.str.contains(r"\d").fillna(False)
    for number, (cell, patient, digits) in enumerate(zip(table[column], patients, numbered, strict=True), start=1):
        where = f"row {number} below the header"
        if is_unknown(cell):
            raise TableError(name, f"{where} has no {column}; add the patient's name, or remove the row")
        if fault := name_fault(patient):
            raise TableError(name, f"{where}: {column} {quote_cell(patient)} {fault}; write the patient's name alone")
        # Rows of totals or of sources, below those of patients, have no digit in their name.
        if not digits and numbered.any():
            named = f"{column} {quote_cell(patient)}"
            raise TableError(
                name, f"{where}: {named} has no digit, unlike other rows; correct the patient's name, or remove the row"
            )
    return patients


def _survival(patients: "pd.Series[Any]", table: pd.DataFrame, name: str) -> tuple["pd.Series[Any]", "pd.Series[Any]"]:
    """Return days and event; patients who are alive are censored at the last day on which that was known."""
    if not _matching(table, SURVIVAL):
        return pd.Series(np.nan, table.index), pd.Series(np.nan, table.index)
    column = table[_column(table, SURVIVAL, name)].astype(object)
    censored = column.astype(str).str.extract(ALIVE, expand=False)
    alive = censored.notna()
    days = _numbers(patients, column.where(~alive, censored), name)
    whole = days.isna() | (days == days.round())
    impossible = column[(days < 0) | (days > LONGEST_DAYS) | ~whole]
    _refuse(patients, name, impossible, "is impossible, since survival is in whole days")
    event = pd.Series(np.where(days.isna(), np.nan, np.where(alive, 0.0, 1.0)), index=table.index)
    return days, event


def _resection(patients: "pd.Series[Any]", table: pd.DataFrame, name: str) -> "pd.Series[Any]":
    if not _matching(table, RESECTION):
        return pd.Series("NA", table.index)
    column = table[_column(table, RESECTION, name)].astype(object)
    known = column.mask(column.map(is_unknown), "NA").astype(str).str.strip().str.upper()
    _refuse(patients, name, column[~known.isin(RESECTIONS)], f"is not one of {', '.join(RESECTIONS)}")
    return known


def _numbers(
    patients: "pd.Series[Any]", column: "pd.Series[Any]", name: str, *, decimal_comma: bool = False
) -> "pd.Series[Any]":
    """Return a column as numbers; NA and empty cells are unknown, and all other cells must be finite numbers.

    With `decimal_comma`, 60,5 is read as 60.5. Without it, a comma is refused, since 1,000 may mean a thousand or one.
    """
    unknown = column.map(is_unknown).astype(bool)
    known = column.mask(unknown)
    if decimal_comma:
        known = known.map(_decimal_point)
    numbers = pd.to_numeric(known, errors="coerce").astype(float)
    _refuse(patients, name, column[~unknown & ~np.isfinite(numbers)], "is not a number")
    return numbers


def _decimal_point(cell: object) -> object:
    found = DECIMAL_COMMA.fullmatch(cell.strip()) if isinstance(cell, str) else None
    return f"{found[1]}.{found[2]}" if found else cell


def _refuse(patients: "pd.Series[Any]", name: str, offending: "pd.Series[Any]", why: str) -> None:
    if len(offending):
        row, cell = offending.index[0], quote_cell(offending.iloc[0])
        raise TableError(name, f"row of {quote_cell(patients.loc[row])}: {offending.name} {cell} {why}; {REMEDY}")
