from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_ml.cohort.cases import MODALITIES, Case, find_cases, naming_of, patient_of
from brats_ml.errors import CaseError

SUFFIXES = ("_flair", "_t1", "_t1ce", "_t2", "_seg")


def files_of(case_id: str, folder: str = "", extension: str = ".nii.gz") -> list[str]:
    return [f"{folder}{case_id}/{case_id}{suffix}{extension}" for suffix in SUFFIXES]


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
@pytest.mark.parametrize("folder", ["", "HGG/", "MICCAI/LGG/"])
@pytest.mark.parametrize(
    "case_id", ["Brats17_TCIA_167_1", "Brats18_CBICA_AAB_1", "BraTS20_Training_001", "BraTS2021_00000"]
)
def test_releases_up_to_2021_are_recognised_wherever_their_folders_lie(
    case_id: str, folder: str, extension: str
) -> None:
    (case,) = find_cases(files_of(case_id, folder, extension))

    home = f"{folder}{case_id}/{case_id}"
    assert case == Case(
        case_id=case_id,
        patient=case_id,
        images={modality: f"{home}_{modality}{extension}" for modality in MODALITIES},
        label=f"{home}_seg{extension}",
        scheme="brats2017-2021",
    )


def test_the_release_of_2023_is_recognised_and_its_patient_has_no_time_point() -> None:
    name = "BraTS-SSA-00068-000"
    (case,) = find_cases(f"{name}/{name}-{suffix}.nii.gz" for suffix in ("t1n", "t1c", "t2w", "t2f", "seg"))

    assert case.images == {
        "flair": f"{name}/{name}-t2f.nii.gz",
        "t1": f"{name}/{name}-t1n.nii.gz",
        "t1ce": f"{name}/{name}-t1c.nii.gz",
        "t2": f"{name}/{name}-t2w.nii.gz",
    }
    assert (case.patient, case.scheme) == ("BraTS-SSA-00068", "brats2023")


def test_two_time_points_of_2023_are_two_cases_of_one_patient() -> None:
    assert patient_of("BraTS-GLI-00005-000") == patient_of("BraTS-GLI-00005-001")


def test_the_label_map_that_2020_misnames_belongs_to_its_case() -> None:
    case_id = "BraTS20_Training_355"
    (case,) = find_cases([*files_of(case_id)[:-1], f"{case_id}/W39_1998.09.19_Segm.nii"])

    assert case.label == f"{case_id}/W39_1998.09.19_Segm.nii"


def test_files_that_are_no_volume_of_a_case_are_left_out() -> None:
    strangers = [
        "name_mapping.csv",
        "BraTS20_Training_001_t1.nii.gz",
        "other/BraTS20_Training_001_t1.nii.gz",
        "a/a.txt",
    ]

    assert find_cases(strangers) == []


def test_missing_modalities_are_named_and_a_case_needs_no_label_map() -> None:
    (case,) = find_cases(["a/a_t1.nii.gz", "a/a_flair.nii.gz"])

    assert case.missing == ["t1ce", "t2"]
    assert case.label is None


@given(st.permutations(files_of("b") + files_of("a")))
def test_cases_come_sorted_in_whatever_order_files_are_found(files: list[str]) -> None:
    assert [case.case_id for case in find_cases(files)] == ["a", "b"]
    assert find_cases(files) == find_cases(sorted(files))


def test_a_record_reads_back_as_the_same_case() -> None:
    (case,) = find_cases(files_of("a"))

    assert Case(**case.to_dict()) == case


@pytest.mark.parametrize(
    ("release", "cases", "naming"),
    [
        ("MICCAI_BraTS2020_TrainingData", 6, "brats2017-2021"),
        ("BraTS2021_TrainingData", 5, "brats2017-2021"),
        ("BraTS2023_SSA_TrainingData", 8, "brats2023"),
    ],
)
def test_real_releases_are_found_whole(release: str, cases: int, naming: str, real_data: Path) -> None:
    found = find_cases(path.relative_to(real_data / release).as_posix() for path in (real_data / release).rglob("*"))

    assert len(found) == cases
    assert all(not case.missing and case.label and naming_of(case.case_id).name == naming for case in found)


def test_one_case_in_two_folders_is_refused_not_mixed() -> None:
    with pytest.raises(CaseError, match="case p1: lies twice, in siteA/p1 and in siteB/p1; keep one of them"):
        find_cases(["siteA/p1/p1_t1.nii.gz", "siteB/p1/p1_t2.nii.gz"])
