"""The ages of unseen patients, and tables that are wrong."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.actions.ages import Age, UnseenAges

GOOD = "BraTS20ID,Age\nBraTS20_A_1,60.5\nBraTS20_B_1,70\n"
# A table of 60 MB without a byte on the disk, and a file that the system refuses to read.
SPOILT: dict[str, Callable[[Path], object]] = {
    "no column": lambda path: path.write_text("id,years\na,b\n"),
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "an impossible age": lambda path: path.write_text("BraTS20ID,Age\nBraTS20_A_1,400\n"),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "huge": lambda path: (path.touch(), os.truncate(path, 60 * 10**6)),
}


def ages(folder: Path) -> Callable[[str], Age]:
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.name != "A"]
    homes = {"A", "B"}
    reader = UnseenAges(folder, names, homes)
    return lambda case: reader.of(f"BraTS20_{case}_1", [f"{case}/BraTS20_{case}_1_t1.nii"])


@pytest.mark.parametrize("case_id", ["BraTS20_Training_001", "Brats17_X_1", "BraTS19_X_1"])
def test_an_age_is_found_whatever_year_named_the_patient(case_id: str, tmp_path: Path) -> None:
    (tmp_path / "survival_data.csv").write_text("BraTS18ID;Age\nBrats18_X_1;60,5\n")
    (tmp_path / "name_mapping.csv").write_text("BraTS_2018_subject_ID,BraTS2020\nBrats18_X_1,BraTS20_Training_001\n")
    reader = UnseenAges(tmp_path, ["survival_data.csv", "name_mapping.csv"], [])

    assert reader.of(case_id, []) == Age(60.5)
    assert reader.of("A", []) == Age()


@pytest.mark.parametrize("how", SPOILT)
def test_a_wrong_table_of_a_case_concerns_that_case_alone(how: str, tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    SPOILT[how](tmp_path / "A/other_survival.csv")
    (tmp_path / "survival.csv").write_text("BraTS20ID,Age\nBraTS20_B_1,70\n")
    age = ages(tmp_path)

    assert age("B") == Age(70.0)
    assert age("A").years is None
    assert age("A").faults[0].startswith("A/other_survival.csv: ")


@pytest.mark.parametrize("how", SPOILT)
def test_a_wrong_table_of_all_cases_leaves_the_ages_of_the_others(how: str, tmp_path: Path) -> None:
    SPOILT[how](tmp_path / "other_survival.csv")
    (tmp_path / "survival.csv").write_text("BraTS20ID,Age\nBraTS20_B_1,70\n")
    age = ages(tmp_path)

    assert age("B") == Age(70.0)
    assert "other_survival.csv" in age("A").faults[0]


def test_tables_that_contradict_each_other_are_left_out_with_a_reason(tmp_path: Path) -> None:
    rows = "".join(f"Brats17_X_{number},BraTS20_Training_001\n" for number in range(5))
    (tmp_path / "name_mapping.csv").write_text(f"BraTS_2017_ID,BraTS_2020_ID\n{rows[: len(rows) // 2]}")
    (tmp_path / "name_mapping_2.csv").write_text(f"BraTS_2017_ID,BraTS_2020_ID\n{rows}")
    (tmp_path / "survival.csv").write_text(GOOD)
    age = ages(tmp_path)

    assert age("A").years == 60.5
    assert ages(tmp_path)("C").faults


def test_a_table_of_a_case_gives_the_age_of_that_case_and_of_no_other(tmp_path: Path) -> None:
    (tmp_path / "A").mkdir()
    (tmp_path / "A/survival.csv").write_text("BraTS20ID,Age\nBraTS20_A_1,61\nBraTS20_B_1,99\n")
    (tmp_path / "survival.csv").write_text(GOOD)
    age = ages(tmp_path)

    assert (age("A").years, age("B").years) == (61.0, 70.0)


def test_a_table_that_the_disk_does_not_give_makes_an_age_uncertain(tmp_path: Path) -> None:
    (tmp_path / "survival.csv").write_text(GOOD)
    (tmp_path / "other_survival.csv").symlink_to("/proc/self/mem")

    found = ages(tmp_path)("A")

    assert found.years == 60.5
    assert "Input/output error" in found.unread[0]


@settings(max_examples=30)
@given(content=st.binary(max_size=60))
def test_no_content_of_a_table_in_another_case_changes_an_age(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("inbox")
    (folder / "A").mkdir()
    (folder / "A/survival.csv").write_bytes(content)
    (folder / "A/name_mapping.csv").write_bytes(content)
    (folder / "survival.csv").write_text(GOOD)

    assert ages(folder)("B") == Age(70.0)
