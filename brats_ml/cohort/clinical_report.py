"""What became of every row of every table: what was taken, what a newer table overrode, and what could not be used."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from brats_ml.cohort.clinical_merge import FIELDS, best, clinical_rows, is_known, merge
from brats_ml.cohort.mapping import mapping_rows, name_columns, nameless_cells, repeating_columns
from brats_ml.cohort.patients import Identities
from brats_ml.cohort.release_files import is_mapping

# Ages of one patient are given to three digits in one year and to seven in another.
AGE_ROUNDING_YEARS = 0.01
MERGED = "all tables"
EXAMPLES = 5


def report_clinical(
    tables: Mapping[str, pd.DataFrame], identities: Identities, imaged_patients: Iterable[str]
) -> list[dict[str, Any]]:
    """Return a JSON-ready record of every table and, where any is clinical, one of their merged rows.

    Args:
        tables: Name to table, mapping and clinical ones.
        identities: Who is who.
        imaged_patients: Patients of the cohort's cases, by any name.

    Returns:
        Records of `kind` `clinical`, `merged` and `mapping`; each has `table`, `rows` and `lines`, which say in words
        how many rows were left out, overridden or united, and why.

    Raises:
        TableError: A table is wrong.
    """
    imaged = set(map(identities.patient, imaged_patients))
    rows = clinical_rows({name: table for name, table in tables.items() if not is_mapping(name)}, identities)
    records = [
        _clinical(str(name), part, rows, imaged) for name, part in rows.groupby("table", sort=False) if len(part)
    ]
    empty = [name for name in tables if not is_mapping(name) and name not in set(rows["table"])]
    records += [{"table": name, "kind": "clinical", "rows": 0, "lines": ["no row below the header"]} for name in empty]
    if len(rows):
        merged = merge(rows)
        records.append({"table": MERGED, "kind": "merged", **_counts(merged), "lines": _left_out(merged, imaged)})
    return records + [_mapping(name, tables[name], identities) for name in tables if is_mapping(name)]


def _clinical(name: str, part: pd.DataFrame, rows: pd.DataFrame, imaged: set[str]) -> dict[str, Any]:
    superseded, conflicts = _superseded(name, part, rows)
    renamed = part[part["name"] != part["patient"]]
    lines = _left_out(part, imaged)
    if len(renamed):
        pairs = [f"{row.name} is {row.patient}" for row in renamed[["name", "patient"]].itertuples(index=False)]
        lines.append(f"{_rows(len(renamed))} known by another name: {_some(pairs)}")
    for patient, names in part.groupby("patient")["name"]:
        if len(names) > 1:
            lines.append(f"{' and '.join(names)} are one patient, {patient}, and their rows one")
    lines += [f"{_rows(count)} superseded by {table}, field by field" for table, count in superseded.items()]
    lines += conflicts
    return {
        "table": name,
        "kind": "clinical",
        **_counts(part),
        "without_images": int((~part["patient"].isin(imaged)).sum()),
        "superseded": superseded,
        "united": dict(zip(renamed["name"], renamed["patient"], strict=True)),
        "lines": lines,
    }


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    resections = rows["resection"].value_counts()
    return {
        "rows": len(rows),
        "dead": int((rows["event"] == 1).sum()),
        "censored": int((rows["event"] == 0).sum()),
        "unknown_survival": int(rows["event"].isna().sum()),
        **{value: int(resections.get(value, 0)) for value in ("GTR", "STR", "NA")},
        "without_age": int(rows["age_years"].isna().sum()),
    }


def _left_out(rows: pd.DataFrame, imaged: set[str]) -> list[str]:
    """Return a line for everything that keeps a row from being a labelled patient with images."""
    counts = _counts(rows)
    reasons = {
        "alive when last seen: a censored observation, in no survival group": counts["censored"],
        "without survival: in no survival group": counts["unknown_survival"],
        "without age: in no survival model": counts["without_age"],
        "without resection status: kept as NA, in no cohort of gross total resections": counts["NA"],
        "without valid images in the cohort": int((~rows["patient"].isin(imaged)).sum()),
    }
    return [f"{_rows(count)} {reason}" for reason, count in reasons.items() if count]


def _superseded(name: str, part: pd.DataFrame, rows: pd.DataFrame) -> tuple[dict[str, int], list[str]]:
    """Return how many rows of a table each other one took the place of, and a line for each field that then differs."""
    by_table: dict[str, set[str]] = defaultdict(set)
    lines = []
    for field in FIELDS:
        believed = best(rows, field)
        known = part[is_known(part, field)]
        chosen = believed.reindex(known["patient"])
        elsewhere = (chosen["table"] != name).to_numpy()
        for row, winner in zip(known["name"][elsewhere], chosen["table"][elsewhere], strict=True):
            by_table[winner].add(row)
        differing = [
            f"{_told(old, field)} of {old['name']} by {_told(new, field)} of {_where(new, name)}"
            for (_, old), (_, new) in zip(known.iterrows(), chosen.iterrows(), strict=True)
            if _differ(old, new, field)
        ]
        newer = set(rows["patient"][: part.index[0]])
        filled = [row for row, patient in zip(known["name"], known["patient"], strict=True) if patient in newer]
        filled = sorted(set(filled) - set(known["name"][elsewhere]))
        if filled:
            lines.append(f"{_rows(len(filled))} used for {field}, which newer tables leave unknown: {_some(filled)}")
        if differing:
            lines.append(f"{len(differing)} differing {field} overridden: {_some(differing)}")
    return {table: len(found) for table, found in sorted(by_table.items())}, lines


def _where(row: "pd.Series[Any]", name: str) -> str:
    return f"{row['name']} in this table" if row["table"] == name else str(row["table"])


def _differ(old: "pd.Series[Any]", new: "pd.Series[Any]", field: str) -> bool:
    if field == "age":
        return bool(abs(old["age_years"] - new["age_years"]) > AGE_ROUNDING_YEARS)
    return any(old[column] != new[column] for column in FIELDS[field])


def _told(row: "pd.Series[Any]", field: str) -> str:
    if field == "age":
        return f"{row['age_years']:g} years"
    if field == "survival":
        return f"{'dead' if row['event'] == 1 else 'alive'} at {row['survival_days']:.0f} days"
    return str(row["resection"])


def _mapping(name: str, table: pd.DataFrame, identities: Identities) -> dict[str, Any]:
    rows = mapping_rows(table, name=name)
    single = sum(len(row) < 2 for row in rows)
    lines = [f"{_rows(single)} with one name or none: nobody is united by them"] if single else []
    lines += [
        f"{column} holds the same few cells again and again, so that it is no column of names: uniting nobody"
        for column in repeating_columns(table)
    ]
    for column, cells in nameless_cells(table, name=name).items():
        lines.append(
            f"{_rows(len(cells))} without a name in {column}, only {_some(sorted(set(cells)))}: uniting nobody"
        )
    for column in name_columns(table, name=name):
        counts = Counter(cell for cell in table[column].astype(str).str.strip() if cell)
        named = {cell for row in rows for cell in row}
        lines += [
            f"{cell} stands in {count} rows of {column}: they are one patient, {identities.patient(cell)}"
            for cell, count in counts.items()
            if count > 1 and cell in named
        ]
    patients = {identities.patient(row[0]) for row in rows if row}
    return {"table": name, "kind": "mapping", "rows": len(rows), "patients": len(patients), "lines": lines}


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count != 1)}"


def _some(items: list[str]) -> str:
    more = len(items) - EXAMPLES
    return "; ".join(items[:EXAMPLES]) + (f"; and {more} more" if more > 0 else "")
