import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_ml.cohort.cases import WHOLE, Case, find_cases
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.names import patient_of
from brats_ml.cohort.release_files import is_volume
from brats_ml.cohort.releases import naming_of

SUFFIXES = ("_flair", "_t1", "_t1ce", "_t2", "_seg")


def files_of(case_id: str, folder: str = "", extension: str = ".nii.gz") -> list[str]:
    return [f"{folder}{case_id}/{case_id}{suffix}{extension}" for suffix in SUFFIXES]


@pytest.mark.parametrize("extension", [".nii", ".nii.gz"])
@pytest.mark.parametrize("folder", ["", "HGG/", "MICCAI/LGG/"])
@pytest.mark.parametrize(
    "case_id", ["Brats17_TCIA_167_1", "Brats18_CBICA_AAB_1", "BraTS20_Training_001", "BraTS2021_00000"]
)
def test_releases_up_to_2021_are_recognised_in_any_folder(case_id: str, folder: str, extension: str) -> None:
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


@pytest.mark.parametrize("folder", ["", "BraTS20_Training_355/"])
@pytest.mark.parametrize("name", ["W39_1998.09.19_Segm.nii", "w39_1998.09.19_segm.nii.gz"])
def test_the_label_map_with_a_wrong_name_in_2020_belongs_to_its_case(folder: str, name: str) -> None:
    case_id = "BraTS20_Training_355"
    (case,) = find_cases([*(file.replace(f"{case_id}/", folder) for file in files_of(case_id)[:-1]), f"{folder}{name}"])

    assert (case.label, case.missing) == (f"{folder}{name}", [])


@pytest.mark.parametrize("folder", ["", "Task01_BrainTumour/"])
def test_the_decathlon_keeps_four_modalities_in_one_file(folder: str) -> None:
    files = [f"{folder}imagesTr/BRATS_001.nii.gz", f"{folder}labelsTr/BRATS_001.nii.gz", f"{folder}dataset.json"]

    (case,) = find_cases(files)

    assert case == Case(
        case_id="BRATS_001",
        patient="BRATS_001",
        images=dict.fromkeys(MODALITIES, files[0]),
        label=files[1],
        scheme="msd-task01",
        channels={"flair": 0, "t1": 1, "t1ce": 2, "t2": 3},
    )


def test_test_cases_of_the_decathlon_have_no_label_map() -> None:
    (case,) = find_cases(["Task01_BrainTumour/imagesTs/BRATS_485.nii.gz"])

    assert (case.missing, case.label, case.faults) == ([], None, {})


def test_one_folder_may_hold_several_releases() -> None:
    gli = [f"BraTS-GLI-00001-000/BraTS-GLI-00001-000-{end}.nii.gz" for end in ("t1n", "t1c", "t2w", "t2f", "seg")]
    decathlon = ["imagesTr/BRATS_001.nii.gz", "labelsTr/BRATS_001.nii.gz"]

    found = find_cases([*files_of("Brats17_TCIA_167_1", "HGG/"), *gli, *decathlon])

    assert {case.case_id: case.scheme for case in found} == {
        "BRATS_001": "msd-task01",
        "BraTS-GLI-00001-000": "brats2023",
        "Brats17_TCIA_167_1": "brats2017-2021",
    }
    assert not any(case.missing or case.faults for case in found)


def test_a_case_gets_its_name_from_its_files_and_not_from_its_folder() -> None:
    flat = [file.removeprefix("a/") for file in files_of("a")]
    elsewhere = [f"patient 7/{file}" for file in flat]

    for files in (flat, elsewhere):
        (case,) = find_cases(files)
        assert (case.case_id, case.missing, case.faults) == ("a", [], {})


def test_copies_in_other_folders_do_not_change_a_case_in_its_own_folder() -> None:
    (case,) = find_cases([*files_of("a"), "predictions/a_seg.nii.gz"])

    assert (case.label, case.faults) == ("a/a_seg.nii.gz", {})


def test_names_may_contain_spaces_and_any_alphabet_in_either_unicode_form() -> None:
    composed, decomposed = "Śāṃ 1", unicodedata.normalize("NFD", "Śāṃ 1")
    files = [file.replace("a/a_", f"{decomposed}/{composed}_") for file in files_of("a")]

    (case,) = find_cases(files)

    assert (case.case_id, case.missing, case.faults) == (composed, [], {})


@pytest.mark.parametrize(
    "name", [".DS_Store", "a.txt", "name_mapping.csv", "a/._a_t1.nii.gz", "__MACOSX/a/a_t1.nii.gz"]
)
def test_files_that_are_no_volumes_are_ignored(name: str) -> None:
    assert find_cases([name]) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("BraTS-XYZ-00001-000", "belongs to series XYZ; only GLI, SSA, GoAT, MEN, MET, PED are read"),
        (
            "BraTS-MEN-RT-0001-1",
            "belongs to series MEN-RT, which has one modality and shows the whole head; only GLI, SSA, GoAT, MEN, MET, "
            "PED are read",
        ),
    ],
)
def test_other_series_since_2023_are_refused_with_the_name_of_the_series(name: str, reason: str) -> None:
    (case,) = find_cases([f"{name}/{name}-t1n.nii.gz", f"{name}/{name}-seg.nii.gz"])

    assert (case.case_id, case.images) == (name, {})
    assert case.faults == {WHOLE: f"{name} {reason}"}


def test_volumes_with_names_of_no_release_are_refused_with_the_name_of_their_folder() -> None:
    (case,) = find_cases(["Task02_Heart/imagesTr/la_003.nii.gz", "Task02_Heart/imagesTr/la_004.nii.gz"])

    assert case.case_id == "unnamed Task02_Heart%2FimagesTr"
    assert case.faults[WHOLE].startswith(
        "Task02_Heart/imagesTr has 2 volume(s) with names of no BraTS release, such as la_003.nii"
    )


def test_volumes_with_names_of_no_release_outside_any_folder_become_the_case_unnamed() -> None:
    (case,) = find_cases(["brain.nii"])

    assert case.case_id == "unnamed"


def test_the_fault_of_a_missing_modality_names_the_file_with_another_name() -> None:
    files = [file.replace("a_t2.", "a_T2w.") for file in files_of("a")]

    (case,) = find_cases(files)

    assert case.faults == {"t2": "a has no t2; if a_T2w.nii.gz is that file, name it as its release does"}
    assert case.unread == ["a/a_T2w.nii.gz"]


def test_suffixes_and_extensions_may_be_in_upper_or_lower_case() -> None:
    (case,) = find_cases(["a/a_FLAIR.NII.GZ", "a/a_T1.nii", "a/a_t1CE.nii", "a/a_T2.Nii.gz", "a/a_Seg.nii.gz"])

    assert (case.missing, case.label, case.faults, case.unread) == ([], "a/a_Seg.nii.gz", {}, [])


def test_images_and_label_maps_in_separate_folders_are_one_case() -> None:
    files = [*files_of("a", "images/")[:-1], "labels/a/a_seg.nii.gz"]
    flat = [f"{suffix.strip('_')}/a{suffix}.nii.gz" for suffix in SUFFIXES]

    for found in (files, flat):
        (case,) = find_cases(found)
        assert (case.missing, case.faults) == ([], {})
        assert case.label is not None


def test_files_with_the_name_of_a_case_outside_its_folder_are_listed_and_not_read() -> None:
    (case,) = find_cases([*files_of("a")[:-1], "predictions/a_seg.nii.gz", "a/adc.nii.gz"])

    assert (case.label, case.faults) == (None, {})
    assert case.unread == ["a/adc.nii.gz", "predictions/a_seg.nii.gz"]


def test_a_foreign_file_in_a_flat_folder_of_many_cases_is_refused_by_name() -> None:
    flat = [file.rpartition("/")[2] for file in (*files_of("a"), *files_of("b"))]

    a, b, foreign = find_cases([*flat, "Patient7 (1).nii.gz"])

    assert (a.faults, a.unread, b.faults, b.unread) == ({}, [], {}, [])
    assert "such as Patient7 (1).nii.gz" in foreign.faults[WHOLE]


@pytest.mark.parametrize("name", ["Br\udce9ts_1", "two\nlines"])
def test_a_name_that_no_table_can_hold_is_refused_and_shown_in_printable_characters(name: str) -> None:
    (case,) = find_cases([f"{name}/{name}_t1.nii.gz"])

    assert "is not one line of UTF-8 text; rename the file" in case.faults[WHOLE]
    assert f"{case.case_id} {case.faults}".isprintable()


def test_a_name_too_long_for_file_names_is_refused_under_a_shorter_name() -> None:
    deep = "/".join(["a" * 90, "b" * 90, "c" * 90])

    cases = find_cases([*files_of("x" * 220), f"{deep}/scan.nii.gz", f"{deep}d/scan.nii.gz"])

    assert len({case.case_id for case in cases}) == 3
    assert all(len(case.case_id) <= 150 and WHOLE in case.faults for case in cases)


def test_two_files_for_one_modality_are_a_fault() -> None:
    (case,) = find_cases([*files_of("a"), "a/a_t1.nii"])

    assert case.faults == {"t1": "t1 has 2 files, such as a_t1.nii and a_t1.nii.gz; keep one of them"}


def test_missing_modalities_are_named_and_a_case_needs_no_label_map() -> None:
    (case,) = find_cases(["a/a_t1.nii.gz", "a/a_flair.nii.gz"])

    assert case.missing == ["t1ce", "t2"]
    assert case.label is None


@given(st.permutations(files_of("b") + files_of("a")))
def test_cases_are_sorted_whatever_the_order_of_the_files(files: list[str]) -> None:
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
def test_all_cases_of_real_releases_are_found(release: str, cases: int, naming: str, real_data: Path) -> None:
    found = find_cases(path.relative_to(real_data / release).as_posix() for path in (real_data / release).rglob("*"))

    assert len(found) == cases
    assert all(not case.missing and case.label and naming_of(case.case_id).name == naming for case in found)


def test_one_case_in_two_folders_is_refused_and_not_mixed() -> None:
    (case,) = find_cases(["siteA/p1/p1_t1.nii.gz", "siteB/p1/p1_t2.nii.gz", "siteB/p1/p1_t1.nii.gz"])

    assert case.images == {}
    assert case.faults == {WHOLE: "p1 exists twice, in siteA/p1 and in siteB/p1; keep one of them"}


@given(st.lists(st.text(alphabet="ab/._-019 BRTSraflseg.nii.gz", max_size=30), max_size=8))
def test_each_volume_belongs_to_one_case_or_is_refused_whatever_its_name(names: list[str]) -> None:
    files = [f"x/{name.strip('/') or 'a'}.nii.gz" for name in names]

    found = find_cases(files)

    ids = [case.case_id for case in found]
    assert len(set(ids)) == len(ids)
    assert not any("/" in case_id or case_id.startswith(".") for case_id in ids)
    assert (found == []) == (not any(map(is_volume, files)))
