import pandas as pd
import pytest

from brats_ml.cohort.labels import REGIONS
from brats_ml.reports.cases_section import KINDS, case_rows, failed_cases, failures


def cases(**columns: list[float]) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    names = [f"c{number}" for number in range(count)]
    perfect = {"dice": 1.0, "hd95": 0.0, "volume_mm3": 10.0, "reference_volume_mm3": 10.0}
    table = pd.DataFrame({"case_id": names, "patient": names})
    for metric, value in perfect.items():
        for region in REGIONS:
            table[f"{metric}_{region}"] = columns.get(f"{metric}_{region}", [value] * count)
    return table


@pytest.mark.parametrize(
    ("predicted", "reference", "dice", "hd95", "kinds"),
    [
        (10, 10, 0.9, 1.0, []),
        (0, 0, 1.0, 0.0, []),
        (0, 10, 0.0, 373.13, ["missed"]),
        (10, 0, 0.0, 373.13, ["invented"]),
        (10, 10, 0.49, 1.0, ["overlap"]),
        (4, 10, 0.57, 1.0, ["size"]),
        (21, 10, 0.6, 1.0, ["size"]),
        (5, 10, 0.6, 20.0, []),
        (10, 10, 0.9, 20.1, ["distance"]),
        (21, 10, 0.1, 30.0, ["overlap", "size", "distance"]),
    ],
)
def test_each_kind_of_failure_is_found(
    predicted: float, reference: float, dice: float, hd95: float, kinds: list[str]
) -> None:
    table = cases(dice_ET=[dice], hd95_ET=[hd95], volume_mm3_ET=[predicted], reference_volume_mm3_ET=[reference])

    found = failures(table, "ET")

    assert list(found) == list(KINDS)
    assert [kind for kind in KINDS if found[kind][0]] == kinds


def test_cases_have_their_place_by_each_key_and_are_worst_first() -> None:
    table = cases(dice_WT=[0.9, 0.3, 0.6], hd95_WT=[5.0, 1.0, 9.0], reference_volume_mm3_WT=[1.0, 3.0, 2.0])

    rows = case_rows(table)

    assert [row.case_id for row in rows] == ["c1", "c2", "c0"]
    by_name = {row.case_id: row.places for row in rows}
    keys = ("name", "dice", "dice_WT", "hd95_WT", "reference_volume_mm3_WT")
    assert [[by_name[name][key] for name in ("c0", "c1", "c2")] for key in keys] == [
        [1, 2, 3],
        [3, 1, 2],
        [3, 1, 2],
        [2, 3, 1],
        [3, 1, 2],
    ]


def test_failed_cases_are_listed_worst_first() -> None:
    rows = case_rows(cases(dice_WT=[0.4, 0.3, 0.6]))

    assert failed_cases(rows)["overlap"] == {"WT": ["c1", "c0"], "TC": [], "ET": []}


def test_an_evaluation_without_cases_has_no_rows() -> None:
    assert case_rows(cases(dice_WT=[0.4]).iloc[:0]) == []


def test_a_region_that_is_not_known_of_a_case_counts_in_no_mean_and_is_no_failure() -> None:
    table = cases(dice_WT=[0.9, 0.6]).assign(dice_RC=[None, 0.0], hd95_RC=[None, 373.13])
    table = table.assign(volume_mm3_RC=[None, 5.0], reference_volume_mm3_RC=[None, 0.0])

    rows = case_rows(table, regions=[*REGIONS, "RC"])

    assert [row.case_id for row in rows] == ["c1", "c0"]
    assert rows[1].scores["dice"] == pytest.approx(2.9 / 3)
    assert [row.places["dice_RC"] for row in rows] == [1, 2]
    assert failed_cases(rows, regions=["RC"])["invented"] == {"RC": ["c1"]}
