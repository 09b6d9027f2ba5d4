import pandas as pd

from brats_ml.reports.cohort_section import case_values, cohort_figure, descriptions, medians
from brats_ml.reports.panels import figure_png

AGES = pd.DataFrame(
    {
        "patient": ["a", "b", "b", "c", "d"],
        "age_years": [40.0, 60.0, 60.0, None, 90.0],
        "survival_days": [100.0, 300.0, 300.0, 500.0, 9000.0],
        "event": [1, 1, 1, 0, 1],
    }
)
PARTS = {"a": "train", "b": "train", "c": "validation", "d": "test"}


def headers(*, spacing: list[float], voxels: int = 1000) -> pd.DataFrame:
    rows = []
    for case_id, side in zip(("a", "b", "c", "d"), spacing, strict=True):
        shared = {"case_id": case_id} | {f"spacing_{axis}": side for axis in "xyz"}
        shared |= {f"shape_{axis}": 240 for axis in "xyz"}
        rows += [
            {**shared, "modality": modality, "brain_ml": 1500.0, "p50": 200.0, "p99": 900.0}
            for modality in ("flair", "t1", "t1ce", "t2")
        ]
        rows.append({**shared, "modality": "seg", "voxels_NCR": voxels, "voxels_ED": voxels, "voxels_ET": voxels})
    return pd.DataFrame(rows)


def values(table: pd.DataFrame) -> pd.DataFrame:
    found = case_values(table)
    return found.assign(patient=found.index)


def test_volumes_are_in_ml_by_the_spacing_of_the_case() -> None:
    found = case_values(headers(spacing=[1.0, 2.0, 1.0, 1.0]))

    assert found["WT"].tolist() == [3.0, 24.0, 3.0, 3.0]
    assert found["TC"].tolist() == [2.0, 16.0, 2.0, 2.0]
    assert found["flair p99"].tolist() == [900.0] * 4


def test_patients_are_described_by_part_and_locked_ones_are_not() -> None:
    rows = descriptions(values(headers(spacing=[1.0, 2.0, 1.0, 5.0])), AGES, PARTS)

    cells = {row.name: row.cells for row in rows}
    assert cells["age, years"] == {"train": "50.0 (41.0 to 59.0)", "validation": "unknown"}
    assert cells["survival of those who died, days"]["train"] == "200 (110 to 290)"
    assert cells["spacing, mm"] == {"train": "1 × 1 × 1 (1), 2 × 2 × 2 (1)", "validation": "1 × 1 × 1"}  # noqa: RUF001
    assert not [text for row in rows for text in row.cells.values() if "9000" in text or "5 × 5" in text]  # noqa: RUF001
    assert "age, years: training 50.0 (41.0 to 59.0), validation unknown" in medians(rows)


def test_a_cohort_without_images_is_described_by_its_patients() -> None:
    nothing = values(headers(spacing=[1.0] * 4).iloc[:0])

    cells = {row.name: row.cells for row in descriptions(nothing, AGES, PARTS)}

    assert cells["age, years"]["train"] == "50.0 (41.0 to 59.0)"
    assert cells["WT, mL"] == {"train": "unknown", "validation": "unknown"}
    assert figure_png(cohort_figure(nothing, AGES, PARTS)).startswith(b"\x89PNG")


def test_equal_cohorts_give_equal_pictures() -> None:
    table = values(headers(spacing=[1.0] * 4))

    assert figure_png(cohort_figure(table, AGES, PARTS)) == figure_png(cohort_figure(table, AGES, PARTS))
