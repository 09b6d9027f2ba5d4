import json
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from brats_ml.adapters.tables.clinical import identities, read_tables
from brats_ml.adapters.tables.frames import read_csv
from brats_ml.cohort.clinical_report import MERGED, report_clinical
from brats_ml.cohort.patients import identify
from brats_ml.cohort.release_files import is_mapping
from brats_ml.workspace import Artefact

MAPPING = pd.DataFrame(
    {
        "BraTS_2019_subject_ID": ["BraTS19_X_1", "BraTS19_X_2", "BraTS19_X_2", "NA", "7"],
        "BraTS_2020_subject_ID": [*(f"BraTS20_Training_00{number}" for number in (1, 2, 3, 4, 5))],
    }
)
OLD = pd.DataFrame(
    {
        "BraTS19ID": ["BraTS19_X_1", "BraTS19_X_2", "BraTS19_X_9"],
        "Age": ["60.4630137", "51", "NA"],
        "Survival": ["ALIVE (1029 days later)", "100", "NA"],
        "ResectionStatus": ["GTR", "STR", "NA"],
    }
)
NEW = pd.DataFrame(
    {
        "Brats20ID": ["BraTS20_Training_001", "BraTS20_Training_003"],
        "Age": ["60.463", "NA"],
        "Survival_days": ["996", "100"],
        "Extent_of_Resection": ["GTR", "NA"],
    }
)


@pytest.fixture
def report() -> dict[str, dict[str, Any]]:
    tables = {"2019/survival.csv": OLD, "2020/name_mapping.csv": MAPPING, "2020/survival.csv": NEW}
    records = report_clinical(tables, identify({"m": MAPPING}, OLD["BraTS19ID"]), ["BraTS19_X_1", "elsewhere"])
    assert json.loads(json.dumps(records)) == records
    return {record["table"]: record for record in records}


def test_every_row_of_an_older_table_is_accounted_for(report: dict[str, dict[str, Any]]) -> None:
    found = report["2019/survival.csv"]

    lines = found.pop("lines")
    assert found == {
        "table": "2019/survival.csv",
        "kind": "clinical",
        "rows": 3,
        "dead": 1,
        "censored": 1,
        "unknown_survival": 1,
        "GTR": 1,
        "STR": 1,
        "NA": 1,
        "without_age": 1,
        "without_images": 2,
        "superseded": {"2020/survival.csv": 2},
        "united": {"BraTS19_X_1": "BraTS20_Training_001", "BraTS19_X_2": "BraTS20_Training_002"},
    }
    assert lines == [
        "1 row alive when last seen: censored, so in no survival group",
        "1 row without survival: in no survival group",
        "1 row without age: in no survival model",
        "1 row without resection status: kept as NA, in no cohort of gross total resections",
        "2 rows without valid images in the cohort",
        "2 rows known by another name: BraTS19_X_1 is BraTS20_Training_001; BraTS19_X_2 is BraTS20_Training_002",
        "2 rows superseded by 2020/survival.csv, field by field",
        "1 row used for age, which newer tables leave unknown: BraTS19_X_2",
        "1 different survival overridden: alive at 1029 days (BraTS19_X_1) by dead at 996 days (2020/survival.csv)",
        "1 row used for resection, which newer tables leave unknown: BraTS19_X_2",
    ]


def test_the_merged_rows_are_counted(report: dict[str, dict[str, Any]]) -> None:
    merged = report[MERGED]

    assert [merged[key] for key in ("kind", "rows", "dead", "censored", "unknown_survival")] == ["merged", 3, 2, 0, 1]


def test_the_record_of_a_mapping_table_lists_cells_that_unite_nobody_or_unusual_rows(
    report: dict[str, dict[str, Any]],
) -> None:
    assert report["2020/name_mapping.csv"] == {
        "table": "2020/name_mapping.csv",
        "kind": "mapping",
        "rows": 5,
        "patients": 4,
        "lines": [
            "2 rows with fewer than two names: no names are united",
            "1 row without a name in BraTS_2019_subject_ID, only 7: the cells are ignored",
            "BraTS19_X_2 is in 2 rows of BraTS_2019_subject_ID: they are one patient, BraTS20_Training_002",
        ],
    }


def test_a_column_that_repeats_its_cells_is_reported() -> None:
    table = MAPPING.assign(BraTS_fold="fold1")

    (record,) = report_clinical({"name_mapping.csv": table}, identify({"m": table}, []), [])

    assert "BraTS_fold repeats the same few cells, so it is not read as a column of names" in record["lines"]
    assert record["patients"] == 4


def test_two_rows_of_one_patient_in_one_table_are_reported() -> None:
    table = pd.DataFrame({"Brats17ID": ["a", "b"], "Age": [50, 60]})

    first, _ = report_clinical({"survival.csv": table}, identify({}, [], [("a", "b")]), ["a"])

    assert "a and b are one patient, a, so their rows are merged" in first["lines"]
    assert "1 different age overridden: 60 years (b) by 50 years (a in this table)" in first["lines"]


def test_a_table_without_rows_is_reported_and_no_tables_give_no_records() -> None:
    empty = pd.DataFrame({"Brats17ID": [], "Age": []}, dtype=str)

    (record,) = report_clinical({"survival.csv": empty}, identify({}, []), [])

    assert record["lines"] == ["no row below the header"]
    assert report_clinical({}, identify({}, []), []) == []


# These counts were taken from the challenge's tables with grep and cut.
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("brats2017_survival_data.csv", (163, 163, 0, 0, 0, 0, 163, 0)),
        ("brats2018_survival_data.csv", (163, 163, 0, 0, 59, 24, 80, 0)),
        ("brats2019_survival_data.csv", (259, 210, 2, 47, 105, 3, 151, 19)),
        ("brats2020_survival_info.csv", (236, 235, 1, 0, 119, 10, 107, 0)),
        ("brats2020_survival_evaluation_testing.csv", (166, 0, 0, 166, 107, 25, 34, 19)),
    ],
)
def test_the_real_tables_have_the_documented_counts(name: str, counts: tuple[int, ...], real_data: Path) -> None:
    table = read_csv(Artefact(real_data / "tables" / name, "BraTS"))

    first, _ = report_clinical({name: table}, identify({}, []), [])

    columns = ("rows", "dead", "censored", "unknown_survival", "GTR", "STR", "NA", "without_age")
    assert tuple(first[column] for column in columns) == counts


def test_the_report_of_all_real_tables_is_complete(real_data: Path) -> None:
    tables = read_tables(real_data / "tables")
    records = report_clinical(tables, identities(real_data / "tables"), ["BraTS20_Training_085"])

    assert Counter(record["kind"] for record in records) == {"clinical": 7, "mapping": 3, "merged": 1}
    assert {record["table"] for record in records} == {*tables, MERGED}
    lines = next(record["lines"] for record in records if record["table"] == "brats2019_survival_data.csv")
    assert lines[-2:] == [
        "1 different survival overridden: alive at 1029 days (BraTS19_CBICA_BFP_1) by dead at 996 days "
        "(brats2020_survival_info.csv)",
        "3 rows used for resection, which newer tables leave unknown: "
        "BraTS19_TMC_06290_1; BraTS19_TMC_21360_1; BraTS19_TMC_27374_1",
    ]
    assert all(record["patients"] == record["rows"] for record in records if is_mapping(record["table"]))
