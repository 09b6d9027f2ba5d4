"""One clinical row a patient from tables of several years that know the same patients by different names."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from brats_ml.cohort.clinical import CLINICAL_COLUMNS, has_ratios, parse_survival, patient_year
from brats_ml.cohort.patients import Identities

# What is taken from one table together: days without their event mean nothing.
FIELDS = {"age": ("age_years",), "survival": ("survival_days", "event"), "resection": ("resection",)}


def combine(tables: Mapping[str, pd.DataFrame], known: Identities) -> pd.DataFrame:
    """Return the clinical rows of several tables in the columns of `parse_survival`, one row a patient, sorted.

    Args:
        tables: Name to survival table, as read.
        known: Who is who.

    Returns:
        Of every field, what the newest release that knows it says; its names decide how new a table is. Of one year, a
        table of ready-made features comes last, and otherwise the earlier name in the alphabet first.

    Raises:
        TableError: As `parse_survival`.
    """
    return merge(clinical_rows(tables, known))


def clinical_rows(tables: Mapping[str, pd.DataFrame], known: Identities) -> pd.DataFrame:
    """Return the rows of all tables, the table to be believed first on top.

    Returns:
        CLINICAL_COLUMNS, `patient` by the one name, and `table` and `name`, where a row stands and under which name.
    """
    order = sorted(tables, key=lambda name: (-patient_year(tables[name], name=name), has_ratios(tables[name]), name))
    parsed = [parse_survival(tables[name], name=name).assign(table=name) for name in order]
    if not parsed:
        return pd.DataFrame(columns=[*CLINICAL_COLUMNS, "table", "name"])
    rows = pd.concat(parsed, ignore_index=True)
    return rows.assign(name=rows["patient"], patient=rows["patient"].map(known.patient))


def merge(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row a patient from `clinical_rows`, sorted."""
    patients = pd.Index(sorted(rows["patient"].unique()), name="patient", dtype=object)
    believed = [best(rows, field)[list(columns)].reindex(patients) for field, columns in FIELDS.items()]
    merged = pd.concat(believed, axis="columns").reset_index()
    return merged.fillna({"resection": "NA"})[list(CLINICAL_COLUMNS)]


def best(rows: pd.DataFrame, field: str) -> pd.DataFrame:
    """Return the row of `clinical_rows` that is believed about a field of FIELDS, by patient."""
    return rows[is_known(rows, field)].drop_duplicates("patient").set_index("patient")


def is_known(rows: pd.DataFrame, field: str) -> "pd.Series[Any]":
    """Return which rows say something about a field of FIELDS."""
    if field == "resection":
        return rows["resection"] != "NA"
    return rows[FIELDS[field][0]].notna()
