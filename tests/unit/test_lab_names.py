"""Names of no release: plain ones, BIDS, and patterns of a lab."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_ml.cohort.cases import WHOLE, Case, find_cases
from brats_ml.cohort.dicom import ADVICE
from brats_ml.cohort.lab_names import LabNaming
from brats_ml.cohort.names import bare_name, name_key, patient_of
from brats_ml.cohort.path_pattern import PathPattern

PLAIN = ("flair", "t1", "t1ce", "t2", "seg")


def found(*files: str, patterns: tuple[str, ...] = (), **words: list[str]) -> list[Case]:
    return find_cases(files, LabNaming.of(patterns=patterns, words=words, labels="brats2017-2021"))


def only(case: Case) -> tuple[str, str, dict[str, str], dict[str, str]]:
    return case.case_id, case.patient, case.files, case.faults


@pytest.mark.parametrize(
    "names",
    [
        PLAIN,
        ("FLAIR", "T1", "T1Gd", "T2", "Seg"),
        ("t2f", "t1n", "t1c", "t2w", "segmentation"),
        ("t2_flair", "T1w", "t1_ce", "T2w", "dseg"),
    ],
)
def test_a_folder_of_plain_names_is_a_case_of_the_patient_that_it_names(names: tuple[str, ...]) -> None:
    (case,) = found(*(f"PAT_0001/{name}.nii.gz" for name in names))

    files = {role: f"PAT_0001/{name}.nii.gz" for role, name in zip(PLAIN, names, strict=True)}
    assert only(case) == ("PAT_0001", "PAT_0001", files, {})


def test_plain_names_in_a_deeper_folder_are_refused_with_both_patterns_that_they_may_mean() -> None:
    """Folders of visits would else become patients of their own, in training and in the test set at once."""
    one, other = found("PAT_1/2019/flair.nii.gz", "PAT_1/2020/flair.nii.gz")

    assert [case.images for case in (one, other)] == [{}, {}]
    assert 'if 2019 is the patient, set acquire.naming.patterns to ["*/{patient}/{modality}"]' in one.faults[WHOLE]
    assert 'if PAT_1 is, to ["{patient}/{visit}/{modality}"]' in one.faults[WHOLE]


def test_plain_names_outside_any_folder_are_refused_with_what_to_do() -> None:
    (case,) = found("flair.nii.gz", "t1.nii.gz")

    assert "put the files of each patient into a folder that has the patient's name" in case.faults[WHOLE]


@pytest.mark.parametrize("files", [("t1ce", "t1gd"), ("flair", "PAT_1_flair"), ("t1", "T1w")])
def test_two_files_that_claim_one_modality_are_one_sentence(files: tuple[str, str]) -> None:
    (case,) = found(*(f"PAT_1/{name}.nii.gz" for name in files))

    (fault,) = case.faults.values()
    assert "has 2 files, such as" in fault
    assert "keep one of them" in fault


def test_bids_is_read_with_session_and_contrast_agent() -> None:
    home = "sub-001/ses-02/anat/sub-001_ses-02"
    suffixes = ("_FLAIR", "_T1w", "_ce-GAD_T1w", "_acq-tse_T2w", "_seg")

    (case,) = found(*(f"{home}{suffix}.nii.gz" for suffix in suffixes))

    files = {role: f"{home}{suffix}.nii.gz" for role, suffix in zip(PLAIN, suffixes, strict=True)}
    assert only(case) == ("sub-001_ses-02", "sub-001", files, {})


def test_label_maps_of_bids_may_be_among_its_derivatives_but_a_second_image_may_not() -> None:
    home = "sub-001/anat/sub-001"
    label = "derivatives/expert/sub-001/anat/sub-001_dseg.nii.gz"

    (case,) = found(f"{home}_T1w.nii.gz", f"{home}_FLAIR.nii.gz", label)
    (twice,) = found(f"{home}_T1w.nii.gz", "derivatives/sri/sub-001/anat/sub-001_T1w.nii.gz")

    assert (case.label, case.faults) == (label, {})
    assert "sub-001 exists twice" in twice.faults[WHOLE]


def test_two_runs_of_one_contrast_are_one_sentence() -> None:
    (case,) = found("sub-1/anat/sub-1_run-1_T1w.nii.gz", "sub-1/anat/sub-1_run-2_T1w.nii.gz")

    assert case.faults == {
        "t1": "t1 has 2 files, such as sub-1_run-1_T1w.nii.gz and sub-1_run-2_T1w.nii.gz; keep one of them"
    }


@pytest.mark.parametrize("suffix", ["_t1ce", "_T1c", "_T1GD", "_t1_ce"])
def test_names_of_other_public_data_sets_are_read(suffix: str) -> None:
    (case,) = found(f"U-0001/U-0001{suffix}.nii.gz", "U-0001/U-0001_FLAIR.nii.gz")

    assert (case.case_id, list(case.images), case.faults) == ("U-0001", ["flair", "t1ce"], {})


def test_a_pattern_and_words_of_the_lab_read_a_layout_that_nobody_else_has() -> None:
    files = [f"site A/PAT_7/2020-01-05/{word}.nii.gz" for word in ("TIRM_tra", "mprage", "mprage_km", "T2", "roi")]

    (case,) = found(
        *files,
        patterns=("*/{patient}/{visit}/{modality}",),
        flair=["tirm_tra"],
        t1=["mprage"],
        t1ce=["mprage_km"],
        seg=["ROI"],
    )

    assert only(case) == ("PAT_7_ses-2020-01-05", "PAT_7", dict(zip(PLAIN, files, strict=True)), {})


@pytest.mark.parametrize(
    ("pattern", "file"),
    [
        ("{modality}/{patient}", "flair/PAT_1.nii.gz"),
        ("**/{patient}/{modality}", "a/b/PAT_1/flair.nii.gz"),
        ("**/{patient}/{modality}", "PAT_1/flair.nii"),
        ("{patient}/{patient}-{modality}", "PAT_1/PAT_1-FLAIR.nii.gz"),
        ("images/{patient}_{modality}", "images/PAT_1_flair.nii.gz"),
    ],
)
def test_a_pattern_may_have_the_fields_in_any_place(pattern: str, file: str) -> None:
    (case,) = found(file, patterns=(pattern,))

    assert only(case) == ("PAT_1", "PAT_1", {"flair": file}, {})


def test_a_path_that_a_pattern_reads_in_two_ways_is_refused_with_both() -> None:
    (case,) = found("PAT_0001_v1_t1.nii.gz", patterns=("{patient}_{visit}_{modality}",))

    assert "read it as t1 of PAT_0001_ses-v1 and as t1 of PAT_ses-0001_v1" in case.faults[WHOLE]


def test_one_patient_number_in_two_sites_is_refused_and_not_mixed() -> None:
    (case,) = found("A/001/t1.nii.gz", "B/001/t1.nii.gz", patterns=("*/{patient}/{modality}",))

    assert case.faults == {WHOLE: "001 exists twice, in A/001 and in B/001; keep one of them"}


def test_a_pattern_keeps_the_time_point_of_a_release_out_of_the_name_of_the_patient() -> None:
    cases = found(
        "BraTS-GLI-00005-000/t1c.nii.gz", "BraTS-GLI-00005-001/t1c.nii.gz", patterns=("{patient}/{modality}",)
    )

    assert {case.patient for case in cases} == {"BraTS-GLI-00005"}
    assert {case.scheme for case in cases} == {"brats2023"}


def test_labels_of_the_lab_count_for_names_of_no_release_alone() -> None:
    naming = LabNaming.of(patterns=(), words={}, labels="brats2023")

    cases = find_cases(["PAT_1/seg.nii.gz", "BraTS20_Training_001/BraTS20_Training_001_seg.nii.gz"], naming)

    assert {case.case_id: case.scheme for case in cases} == {
        "BraTS20_Training_001": "brats2017-2021",
        "PAT_1": "brats2023",
    }


def test_two_visits_are_one_patient_by_the_names_of_the_cases_alone() -> None:
    """The gate knows the training cases of a champion by their names."""
    names = ("PAT_1_ses-2019", "PAT_1_ses-2020_a")

    assert {patient_of(name) for name in names} == {"PAT_1"}
    assert {bare_name(name) for name in names} == {"PAT_1"}
    assert {name_key(name) for name in names} == {name_key("pat_1")}


@given(
    patient=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,8}", fullmatch=True),
    visit=st.from_regex(r"[A-Za-z0-9-]{1,8}", fullmatch=True),
)
def test_a_pattern_without_doubt_finds_patient_and_visit_again(patient: str, visit: str) -> None:
    (case,) = found(f"{patient}/{visit}/t1.nii.gz", patterns=("{patient}/{visit}/{modality}",))

    assert (case.patient, case.case_id) == (patient_of(patient), f"{patient}_ses-{visit}")


@pytest.mark.parametrize("folder", ["PAT_1", "PAT_1/series 1", "sub-2/dicom"])
def test_dicom_next_to_the_volumes_of_one_case_is_listed_as_unread_in_it(folder: str) -> None:
    volumes = ["PAT_1/flair.nii.gz", "sub-2/anat/sub-2_FLAIR.nii.gz"]

    cases = find_cases(volumes, dicom=[f"{folder}/IM1"])

    owner = folder.partition("/")[0]
    assert {case.case_id: case.unread for case in cases if case.unread} == {owner: [f"{folder}/IM1"]}
    assert not any(case.faults for case in cases)


@pytest.mark.parametrize(
    ("dicom", "case_id"),
    [
        (["PAT_3/a/b/IM1", "PAT_3/a/c/IM1"], "PAT_3"),
        (["ward/PAT_3/IM1"], "ward%2FPAT_3"),
        (["IM1"], "DICOM"),
        (["two\nlines/IM1"], "two\\nlines"),
    ],
)
def test_dicom_of_a_patient_without_volumes_is_one_case_that_is_refused(dicom: list[str], case_id: str) -> None:
    cases = find_cases(["ward/PAT_1/PAT_1_t1.nii.gz", "ward/PAT_2/PAT_2_t1.nii.gz"], dicom=dicom)

    refused = next(case for case in cases if case.case_id == case_id)
    assert refused.faults[WHOLE].endswith(f"holds DICOM, such as IM1: {ADVICE}")
    assert len(cases) == 3


def test_no_name_of_a_file_makes_a_case_that_is_another_folder() -> None:
    (case,) = found(*(f"sub-../{word}.nii.gz" for word in PLAIN), patterns=("sub-{patient}/{modality}",))

    assert (case.case_id, case.images) == ("unnamed sub-..", {})


def test_a_patient_with_the_name_of_unnamed_volumes_is_refused_and_no_file_is_lost() -> None:
    cases = found("loose.nii.gz", *(f"unnamed/{word}.nii.gz" for word in PLAIN))

    assert [(case.case_id, case.images) for case in cases] == [("unnamed", {}), ("unnamed unnamed", {})]


@pytest.mark.parametrize("pattern", ["{patient}-*-*-*-{modality}", "*-*/*-*/*-*/{patient}-{modality}"])
def test_a_pattern_that_a_name_can_keep_busy_for_minutes_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="too many fields"):
        PathPattern.parse(pattern)
