import csv
from pathlib import Path
from random import Random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.adapters.tables.clinical import clinical_table, identities, read_tables
from brats_ml.cohort.clinical import CLINICAL_COLUMNS, parse_survival
from brats_ml.cohort.clinical_merge import combine
from brats_ml.cohort.patients import Identities, identify

YEARS = {
    2017: "brats2017_survival_data.csv",
    2018: "brats2018_survival_data.csv",
    2019: "brats2019_survival_data.csv",
    2020: "brats2020_survival_info.csv",
}
MAPPING = pd.DataFrame({"BraTS_2019_subject_ID": ["BraTS19_X_1"], "BraTS_2020_subject_ID": ["BraTS20_Training_001"]})
KNOWN = identify({"name_mapping.csv": MAPPING}, ["Brats17_X_1", "Brats18_X_1"])


def year(number: int, name: str = "X_1", **columns: object) -> pd.DataFrame:
    patient = "BraTS20_Training_001" if number == 20 else f"BraTS{number}_{name}"
    return pd.DataFrame({f"BraTS{number}ID": [patient], **{column: [value] for column, value in columns.items()}})


def only(tables: dict[str, pd.DataFrame]) -> dict[str, object]:
    (row,) = combine(tables, KNOWN).to_dict("records")
    return {str(column): value for column, value in row.items()}


def test_each_field_comes_from_the_newest_table_that_knows_it() -> None:
    tables = {
        "a.csv": year(17, Age=50, Survival=1),
        "b.csv": year(18, Age=51, Survival=2, ResectionStatus="STR"),
        "c.csv": year(19, Age=52, Survival="ALIVE (1029 days later)", ResectionStatus="NA"),
        "d.csv": year(20, Age="NA", Survival_days="NA", Extent_of_Resection="NA"),
    }

    assert only(tables) == {
        "patient": "BraTS20_Training_001",
        "age_years": 52,
        "survival_days": 1029,
        "event": 0,
        "resection": "STR",
    }


def test_days_and_their_event_come_from_one_table() -> None:
    tables = {"a.csv": year(19, Age=1, Survival="ALIVE (1029 days later)"), "z.csv": year(20, Age=1, Survival_days=996)}

    assert [only(tables)[field] for field in ("survival_days", "event")] == [996, 1]


def test_among_tables_of_one_year_a_table_of_features_comes_last() -> None:
    ratios = {"NCR_NET_ratio": 0.1, "ED_ratio": 0.1, "ET_ratio": 0.1}
    tables = {"a_survival_features.csv": year(20, Age=1, **ratios), "z_survival_info.csv": year(20, Age=2)}

    assert only(tables)["age_years"] == 2


def test_two_rows_of_one_patient_in_one_table_are_merged() -> None:
    table = pd.DataFrame({"Brats17ID": ["Brats17_X_1", "BraTS20_Training_001"], "Age": ["NA", "50"]})

    assert only({"t.csv": table})["age_years"] == 50


def test_merging_no_tables_gives_no_rows() -> None:
    assert combine({}, Identities()).columns.tolist() == list(CLINICAL_COLUMNS)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(17, 20), st.integers(1, 90) | st.none()), min_size=1), st.randoms())
def test_the_order_of_tables_does_not_matter(rows: list[tuple[int, int | None]], random: Random) -> None:
    tables = {f"{index}.csv": year(number, Age=age) for index, (number, age) in enumerate(rows)}
    shuffled = list(tables.items())
    random.shuffle(shuffled)

    pd.testing.assert_frame_equal(combine(tables, KNOWN), combine(dict(shuffled), KNOWN))


def test_no_patient_and_no_known_value_is_lost(real_data: Path) -> None:
    known = identities(real_data / "tables")
    tables = {name: table for name, table in read_tables(real_data / "tables").items() if "mapping" not in name}

    merged = combine(tables, known).set_index("patient")

    for name, table in tables.items():
        parsed = parse_survival(table, name=name)
        rows = merged.loc[parsed["patient"].map(known.patient)].reset_index()
        for column in ("age_years", "survival_days", "event"):
            assert not (parsed[column].notna() & rows[column].isna()).any()
        assert not ((parsed["resection"] != "NA") & (rows["resection"] == "NA")).any()


@pytest.fixture
def four_years(real_data: Path, tmp_path: Path) -> Path:
    for name in (*YEARS.values(), "brats2020_name_mapping.csv", "brats2020_name_mapping_validation_data.csv"):
        (tmp_path / name).write_bytes((real_data / "tables" / name).read_bytes())
    return tmp_path


def read(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def test_the_real_patients_of_four_years_are_merged_as_the_csv_module_finds_them(four_years: Path) -> None:
    merged = clinical_table(four_years).set_index("patient")

    # Use only the csv module: rename every survival row to its patient's name of 2020, which is the last column of the
    # mapping tables, and take the newest survival that is not NA.
    renamed = {cell: row[-1] for path in four_years.glob("*mapping*") for row in read(path) for cell in row}
    survivals: dict[str, str] = {}
    for name in YEARS.values():
        for patient, _, survival, *_ in read(four_years / name):
            current = renamed.get(patient, patient)
            survivals[current] = survivals.get(current, "NA") if survival == "NA" else survival
    assert set(merged.index) == set(survivals)
    alive = {patient for patient, survival in survivals.items() if survival.startswith("ALIVE")}
    assert set(merged.index[merged["event"] == 0]) == alive == {"BraTS20_Training_084"}
    dead = merged.loc[merged["event"] == 1, "survival_days"].astype(int).astype(str).to_dict()
    assert dead == {patient: survival for patient, survival in survivals.items() if survival.isdigit()}
    assert dead["BraTS20_Training_085"] == "996"  # alive at 1029 days in 2019
    assert (len(merged), len(dead)) == (283, 235)
