from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brats_ml.adapters.tables.frames import read_csv
from brats_ml.cohort.clinical import (
    CLINICAL_COLUMNS,
    GROUPS,
    features_from_table,
    parse_survival,
    patient_year,
    survival_group,
)
from brats_ml.errors import TableError
from brats_ml.workspace import Artefact

LIMITS = [300, 450]


def table(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"Brats20ID": ["b", "a"], "Age": [60.5, 50.0], **columns})


@pytest.mark.parametrize(
    ("days", "group"), [(0, "short"), (299, "short"), (300, "mid"), (450, "mid"), (451, "long"), (1767, "long")]
)
def test_limits_belong_to_the_middle_group(days: float, group: str) -> None:
    assert survival_group(days, LIMITS) == group
    assert group in GROUPS


@pytest.mark.parametrize(
    ("patient", "survival", "resection"),
    [
        ("Brats17ID", "Survival", None),
        ("BraTS18ID", "Survival", "ResectionStatus"),
        ("BraTS19ID", "Survival", "ResectionStatus"),
        ("Brats20ID", "Survival_days", "Extent_of_Resection"),
        ("BraTS20ID", None, "ResectionStatus"),
    ],
)
def test_the_columns_of_every_year_are_read_into_one_form(
    patient: str, survival: str | None, resection: str | None
) -> None:
    columns: dict[str, list[object]] = {patient: ["b", "a"], "Age": [60.5, 50.0]}
    if survival is not None:
        columns[survival] = [100, 200]
    if resection is not None:
        columns[resection] = ["GTR", "STR "]

    parsed = parse_survival(pd.DataFrame(columns), name="table")

    assert tuple(parsed.columns) == CLINICAL_COLUMNS
    assert parsed["patient"].tolist() == ["a", "b"]
    assert parsed["age_years"].tolist() == [50.0, 60.5]
    assert parsed["resection"].tolist() == (["NA", "NA"] if resection is None else ["STR", "GTR"])
    np.testing.assert_array_equal(parsed["survival_days"], [np.nan, np.nan] if survival is None else [200, 100])
    np.testing.assert_array_equal(parsed["event"], [np.nan, np.nan] if survival is None else [1, 1])


def test_patients_who_are_alive_are_censored_at_the_last_day_on_which_that_was_known() -> None:
    parsed = parse_survival(table(Survival_days=["ALIVE (361 days later)", "NA"]), name="table")

    assert parsed["patient"].tolist() == ["a", "b"]
    np.testing.assert_array_equal(parsed["survival_days"], [np.nan, 361])
    np.testing.assert_array_equal(parsed["event"], [np.nan, 0])


REMEDY = "; correct it, or write NA where it is unknown"


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"Age": [0, 50]}, "row of b: Age 0 is impossible, since ages are in years" + REMEDY),
        ({"Age": [60, 121]}, "row of a: Age 121 is impossible, since ages are in years" + REMEDY),
        ({"Age": [22100, 50]}, "row of b: Age 22100 is impossible, since ages are in years" + REMEDY),
        ({"Age": ["old", 50]}, "row of b: Age old is not a number" + REMEDY),
        ({"Age": ["inf", 50]}, "row of b: Age inf is not a number" + REMEDY),
        (
            {"Survival_days": [-1, 5]},
            "row of b: Survival_days -1 is impossible, since survival is in whole days" + REMEDY,
        ),
        (
            {"Survival_days": [5, 9.5]},
            "row of a: Survival_days 9.5 is impossible, since survival is in whole days" + REMEDY,
        ),
        (
            {"Survival_days": [5, 99999]},
            "row of a: Survival_days 99999 is impossible, since survival is in whole days" + REMEDY,
        ),
        ({"Survival_days": [1, "inf"]}, "row of a: Survival_days inf is not a number" + REMEDY),
        ({"Survival_days": [1, "ALIVE"]}, "row of a: Survival_days ALIVE is not a number" + REMEDY),
        (
            {"Extent_of_Resection": ["GTR", "most"]},
            "row of a: Extent_of_Resection most is not one of GTR, STR, NA" + REMEDY,
        ),
        ({"Survival_days": [1, "1,000"]}, "row of a: Survival_days 1,000 is not a number" + REMEDY),
        ({"Age": ["60,5", "160,50"]}, "row of a: Age 160,50 is impossible, since ages are in years" + REMEDY),
        ({"Age": [60, 500 * "9"]}, f"row of a: Age {57 * '9'}... is not a number" + REMEDY),
        (
            {"Survival_days": [1, "ALIVE (99999 days later)"]},
            "row of a: Survival_days ALIVE (99999 days later) is impossible, since survival is in whole days" + REMEDY,
        ),
        (
            {"Brats20ID": ["a1", "Total"]},
            "row 2 below the header: Brats20ID Total has no digit, unlike other rows; correct the patient's name, or "
            "remove the row",
        ),
        (
            {"Brats20ID": ["a1", "a1/a2"]},
            "row 2 below the header: Brats20ID a1/a2 has a slash, so it is a path or several names; write the "
            "patient's name alone",
        ),
        ({"Brats20ID": ["a", "a "]}, "row of a: Brats20ID a appears twice; remove one"),
        (
            {"Brats20ID": ["a", "NA"]},
            "row 2 below the header has no Brats20ID; add the patient's name, or remove the row",
        ),
        ({"age": [1, 2]}, "has two columns for the same thing, Age and age; remove one"),
        ({"Brats17ID": ["x", "y"]}, "has two columns for the same thing, Brats20ID and Brats17ID; remove one"),
    ],
)  # fmt: skip
def test_the_error_of_an_impossible_value_names_the_row(columns: dict[str, list[object]], sentence: str) -> None:
    with pytest.raises(TableError) as raised:
        parse_survival(table(**columns), name="t.csv")

    assert str(raised.value) == f"t.csv: {sentence}"


@pytest.mark.parametrize(
    ("missing", "named"), [("Brats20ID", "Brats17ID or BraTS18ID"), ("Age", "Age; it has Brats20ID")]
)
def test_the_error_names_a_missing_column(missing: str, named: str) -> None:
    with pytest.raises(TableError, match=f"has no column {named}"):
        parse_survival(table().drop(columns=missing), name="t.csv")


@pytest.mark.parametrize("header", ["patient_id", "Patient", "Subject ID", "participant_id"])
def test_a_table_of_a_lab_names_its_patients_in_a_column_of_no_release(header: str) -> None:
    labs = table().rename(columns={"Brats20ID": header})

    assert parse_survival(labs, name="t.csv")["patient"].tolist() == ["a", "b"]
    assert patient_year(labs, name="t.csv") == 0
    assert parse_survival(table(**{header: ["x", "y"]}), name="t.csv")["patient"].tolist() == ["a", "b"]


@pytest.mark.parametrize("alive", ["ALIVE (361 days later)", "alive(361 days later)", "Alive  ( 361  days  later ) "])
def test_every_spelling_of_alive_is_read_as_censored(alive: str) -> None:
    parsed = parse_survival(table(Survival_days=[alive, "NA"]), name="t.csv").set_index("patient")

    assert parsed.loc["b", ["survival_days", "event"]].tolist() == [361, 0]


def test_ages_may_have_a_decimal_comma() -> None:
    parsed = parse_survival(table(Age=["60,463", " 52,5 "]), name="table")

    assert sorted(parsed["age_years"]) == [52.5, 60.463]


@pytest.mark.parametrize("unknown", ["NA", "", "n/a", " nan ", None, np.nan])
def test_unknown_values_stay_unknown(unknown: object) -> None:
    cells: list[object] = [unknown, "12"]
    parsed = parse_survival(
        table(Age=cells, Survival_days=cells, ResectionStatus=[unknown, " str "]), name="t.csv"
    ).set_index("patient")

    assert parsed.loc["b", ["age_years", "survival_days", "event"]].isna().all()
    assert parsed["resection"].to_dict() == {"a": "STR", "b": "NA"}


@pytest.mark.parametrize("patient", ["brats20id", "BraTS_20_ID", "BRATS20 ID", "BraTS_2020_subject_ID"])
def test_only_letters_and_digits_of_headers_are_compared(patient: str) -> None:
    columns = {"extent of resection": ["gtr", "NA"], "AGE": [60, 50], "Survival (days)": [10, 20], patient: ["b", "a"]}

    parsed = parse_survival(pd.DataFrame(columns), name="t.csv")

    assert parsed.iloc[1].tolist() == ["b", 60, 10, 1, "GTR"]
    assert patient_year(pd.DataFrame(columns), name="t.csv") == 2020


def test_ready_made_features_get_the_columns_of_measured_features() -> None:
    ratios = {"NCR_NET_ratio": [0.1, 0.4], "ED_ratio": [0.2, 0.5], "ET_ratio": [0.3, 0.0]}

    features = features_from_table(table(Survival_days=[10, 20], Extent_of_Resection=["GTR", "NA"], **ratios), name="t")

    assert features.iloc[1].to_dict() == {
        "patient": "b",
        "case_id": "b",
        "age_years": 60.5,
        "ncr_ratio": 0.1,
        "ed_ratio": 0.2,
        "et_ratio": 0.3,
        "resection": "GTR",
        "survival_days": 10,
        "event": 1,
    }


def test_a_ratio_outside_0_to_1_is_refused() -> None:
    ratios: dict[str, list[object]] = {"NCR_NET_ratio": [0.1, 1.4], "ED_ratio": [0.2, 0.5], "ET_ratio": [0.3, 0.0]}

    with pytest.raises(TableError, match=r"row of a: NCR_NET_ratio 1\.4 is outside 0 to 1"):
        features_from_table(table(**ratios), name="t.csv")


# The numbers of rows, of rows with ALIVE, and of numeric survivals were counted in the challenge's tables with grep.
@pytest.mark.parametrize(
    ("name", "rows", "alive", "died"),
    [
        ("brats2017_survival_data.csv", 163, 0, 163),
        ("brats2018_survival_data.csv", 163, 0, 163),
        ("brats2019_survival_data.csv", 259, 2, 210),
        ("brats2020_survival_info.csv", 236, 1, 235),
        ("brats2020_survival_evaluation_testing.csv", 166, 0, 0),
    ],
)
def test_the_real_tables_of_every_year_are_read(name: str, rows: int, alive: int, died: int, real_data: Path) -> None:
    parsed = parse_survival(read_csv(Artefact(real_data / "tables" / name, "BraTS")), name=name)

    assert len(parsed) == rows
    assert parsed["event"].value_counts().reindex([0, 1], fill_value=0).tolist() == [alive, died]


def test_real_patients_with_gross_total_resection_have_the_documented_groups(real_data: Path) -> None:
    name = "brats2020_survival_features_derived.csv"
    features = features_from_table(read_csv(Artefact(real_data / "tables" / name, "BraTS")), name=name)

    scored = features[(features["event"] == 1) & (features["resection"] == "GTR")]

    # From the README of the data: 42/30/46 at 300/450 days.
    counts = scored["survival_days"].map(lambda days: survival_group(days, LIMITS)).value_counts()
    assert counts.to_dict() == {"short": 42, "mid": 30, "long": 46}
