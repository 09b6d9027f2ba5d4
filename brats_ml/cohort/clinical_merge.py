"""Merge clinical tables of several years, which name the same patients differently, into one row per patient."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from brats_ml.cohort.clinical import CLINICAL_COLUMNS, has_ratios, parse_survival, patient_year
from brats_ml.cohort.patients import Identities

# Columns that are taken from one table together: days mean nothing without their event.
FIELDS = {"age": ("age_years",), "survival": ("survival_days", "event"), "resection": ("resection",)}


def combine(tables: Mapping[str, pd.DataFrame], known: Identities) -> pd.DataFrame:
    """Merge several survival tables into one row per patient, sorted, with the columns of `parse_survival`.

    Each field comes from the newest table that has a value for it. The header of the patient column gives the year of
    a table. Among tables of one year, the first in the alphabet has precedence, and tables of ready-made features come
    last.

    Args:
        tables: The survival tables by name, as read.
        known: The identities of the patients.

    Raises:
        TableError: As in `parse_survival`.
    """
    return merge(clinical_rows(tables, known))


def clinical_rows(tables: Mapping[str, pd.DataFrame], known: Identities) -> pd.DataFrame:
    """Return the rows of all tables, those of the table with the highest precedence first.

    Returns:
        CLINICAL_COLUMNS with the unified name in `patient`, and the table and the name of the row in `table` and
        `name`.
    """
    order = sorted(tables, key=lambda name: (-patient_year(tables[name], name=name), has_ratios(tables[name]), name))
    parsed = [parse_survival(tables[name], name=name).assign(table=name) for name in order]
    if not parsed:
        return pd.DataFrame(columns=[*CLINICAL_COLUMNS, "table", "name"])
    rows = pd.concat(parsed, ignore_index=True)
    return rows.assign(name=rows["patient"], patient=rows["patient"].map(known.patient))


def merge(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per patient from `clinical_rows`, sorted."""
    patients = pd.Index(sorted(rows["patient"].unique()), name="patient", dtype=object)
    chosen = [best(rows, field)[list(columns)].reindex(patients) for field, columns in FIELDS.items()]
    merged = pd.concat(chosen, axis="columns").reset_index()
    return merged.fillna({"resection": "NA"})[list(CLINICAL_COLUMNS)]


def best(rows: pd.DataFrame, field: str) -> pd.DataFrame:
    """Return, for each patient, the row of `clinical_rows` that a field of FIELDS is taken from."""
    return rows[is_known(rows, field)].drop_duplicates("patient").set_index("patient")


def is_known(rows: pd.DataFrame, field: str) -> "pd.Series[Any]":
    """Return which rows have a value for a field of FIELDS."""
    if field == "resection":
        return rows["resection"] != "NA"
    return rows[FIELDS[field][0]].notna()
