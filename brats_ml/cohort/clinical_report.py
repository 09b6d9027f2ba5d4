"""Report what happened to every row of every clinical table: it is used, overridden by a newer table, or left out."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from brats_ml.cohort.clinical_merge import FIELDS, best, clinical_rows, is_known, merge
from brats_ml.cohort.mapping import mapping_rows, name_columns, nameless_cells, repeating_columns
from brats_ml.cohort.patients import Identities
from brats_ml.cohort.release_files import is_mapping

# Some years give ages with three decimals, and others with seven.
AGE_ROUNDING_YEARS = 0.01
MERGED = "all tables"
EXAMPLES = 5


def report_clinical(
    tables: Mapping[str, pd.DataFrame], identities: Identities, imaged_patients: Iterable[str]
) -> list[dict[str, Any]]:
    """Return a record for JSON of every table, and one of the merged clinical rows if there are any.

    Args:
        tables: The mapping tables and clinical tables by name.
        identities: The identities of the patients.
        imaged_patients: The patients of the cohort's cases, by any of their names.

    Returns:
        Records of `kind` `clinical`, `merged` and `mapping`. Each has `table`, `rows` and `lines`. The lines say how
        many rows are left out, overridden or united, and why.

    Raises:
        TableError: A table is invalid.
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
            lines.append(f"{' and '.join(names)} are one patient, {patient}, so their rows are merged")
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
    """Return one line per reason that keeps rows from counting as labelled patients with images."""
    counts = _counts(rows)
    reasons = {
        "alive when last seen: censored, so in no survival group": counts["censored"],
        "without survival: in no survival group": counts["unknown_survival"],
        "without age: in no survival model": counts["without_age"],
        "without resection status: kept as NA, in no cohort of gross total resections": counts["NA"],
        "without valid images in the cohort": int((~rows["patient"].isin(imaged)).sum()),
    }
    return [f"{_rows(count)} {reason}" for reason, count in reasons.items() if count]


def _superseded(name: str, part: pd.DataFrame, rows: pd.DataFrame) -> tuple[dict[str, int], list[str]]:
    """Return how many rows each other table supersedes, and lines about fields that are filled in or overridden."""
    by_table: dict[str, set[str]] = defaultdict(set)
    lines = []
    for field in FIELDS:
        known = part[is_known(part, field)]
        chosen = best(rows, field).reindex(known["patient"])
        elsewhere = (chosen["table"] != name).to_numpy()
        for row, winner in zip(known["name"][elsewhere], chosen["table"][elsewhere], strict=True):
            by_table[winner].add(row)
        differing = [
            f"{_value(old, field)} ({old['name']}) by {_value(new, field)} ({_where(new, name)})"
            for (_, old), (_, new) in zip(known.iterrows(), chosen.iterrows(), strict=True)
            if _differ(old, new, field)
        ]
        newer = set(rows["patient"][: part.index[0]])
        filled = [row for row, patient in zip(known["name"], known["patient"], strict=True) if patient in newer]
        filled = sorted(set(filled) - set(known["name"][elsewhere]))
        if filled:
            lines.append(f"{_rows(len(filled))} used for {field}, which newer tables leave unknown: {_some(filled)}")
        if differing:
            lines.append(f"{len(differing)} different {field} overridden: {_some(differing)}")
    return {table: len(found) for table, found in sorted(by_table.items())}, lines


def _where(row: "pd.Series[Any]", name: str) -> str:
    return f"{row['name']} in this table" if row["table"] == name else str(row["table"])


def _differ(old: "pd.Series[Any]", new: "pd.Series[Any]", field: str) -> bool:
    if field == "age":
        return bool(abs(old["age_years"] - new["age_years"]) > AGE_ROUNDING_YEARS)
    return any(old[column] != new[column] for column in FIELDS[field])


def _value(row: "pd.Series[Any]", field: str) -> str:
    if field == "age":
        return f"{row['age_years']:g} years"
    if field == "survival":
        return f"{'dead' if row['event'] == 1 else 'alive'} at {row['survival_days']:.0f} days"
    return str(row["resection"])


def _mapping(name: str, table: pd.DataFrame, identities: Identities) -> dict[str, Any]:
    rows = mapping_rows(table, name=name)
    single = sum(len(row) < 2 for row in rows)
    lines = [f"{_rows(single)} with fewer than two names: no names are united"] if single else []
    lines += [
        f"{column} repeats the same few cells, so it is not read as a column of names"
        for column in repeating_columns(table)
    ]
    for column, cells in nameless_cells(table, name=name).items():
        lines.append(
            f"{_rows(len(cells))} without a name in {column}, only {_some(sorted(set(cells)))}: the cells are ignored"
        )
    for column in name_columns(table, name=name):
        counts = Counter(cell for cell in table[column].astype(str).str.strip() if cell)
        named = {cell for row in rows for cell in row}
        lines += [
            f"{cell} is in {count} rows of {column}: they are one patient, {identities.patient(cell)}"
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
