from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.ndimage import label as connected

from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.cohort.names import patient_of
from brats_ml.cohort.phantom import phantom_patient
from brats_ml.cohort.phantom_cohort import PhantomCase, phantom_cohort, treated_affine

SMALL = (32, 32, 32)
NCR, ED, ET, RC = 1, 2, 3, 4


@pytest.fixture(scope="module")
def cases() -> list[PhantomCase]:
    """The cases of three patients with cavities and two lesions at first, at two time points each."""
    return list(phantom_cohort(cases=6, shape=(48, 48, 32), seed=2020, cavity_share=1, lesions=2, time_points=2))


def lesions(case: PhantomCase) -> int:
    return int(connected(case.label, np.ones((3, 3, 3)))[1])


def test_without_treatment_the_cohort_is_that_of_brats_2020() -> None:
    for index, case in enumerate(phantom_cohort(cases=2, shape=SMALL, seed=7)):
        patient = phantom_patient(index, shape=SMALL, seed=7)
        assert (case.case_id, case.survival_info) == (patient.patient, patient.survival_info)
        assert_array_equal(case.label, patient.label)
        assert_array_equal(case.images["flair"], patient.images["flair"])


def test_treated_cases_have_names_and_grid_of_the_gliomas_of_2024(cases: list[PhantomCase]) -> None:
    assert [case.case_id for case in cases[:3]] == ["BraTS-GLI-90001-100", "BraTS-GLI-90001-101", "BraTS-GLI-90002-100"]
    # FSL's MNI152_T1_1mm.nii.gz has this matrix.
    expected = [[-1, 0, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72], [0, 0, 0, 1]]
    assert_array_equal(treated_affine((182, 218, 182)), expected)
    assert VoxelGrid((48, 48, 32), cases[0].affine).axes == "LAS"


def test_one_patient_has_one_head_and_new_scans(cases: list[PhantomCase]) -> None:
    for before, after in zip(cases[::2], cases[1::2], strict=True):
        assert patient_of(before.case_id) == patient_of(after.case_id)
        assert_array_equal(before.images["t1"] > 0, after.images["t1"] > 0)
        assert (before.images["t1"] != after.images["t1"]).any()
        assert (before.label != after.label).any()
    for one, other in combinations(cases[::2], 2):
        assert ((one.images["t1"] > 0) != (other.images["t1"] > 0)).any()


def test_lesions_are_separate_and_one_is_new_at_the_second_time_point(cases: list[PhantomCase]) -> None:
    assert [lesions(case) for case in cases] == [2, 3, 2, 3, 2, 3]


@pytest.mark.parametrize("wanted", [1, 4])
def test_any_number_of_lesions_fits_the_smallest_head(wanted: int) -> None:
    drawn = phantom_cohort(cases=6, shape=SMALL, seed=1, cavity_share=0.5, lesions=wanted, time_points=3)

    assert [lesions(case) for case in drawn] == [wanted, wanted + 1, wanted + 1] * 2


def test_a_cavity_looks_like_fluid_and_part_of_its_border_enhances(cases: list[PhantomCase]) -> None:
    for case in cases:
        cavity, brain = case.label == RC, (case.images["t1"] > 0) & (case.label == 0)
        contrast = {name: image[cavity].mean() / image[brain].mean() for name, image in case.images.items()}
        assert max(contrast["flair"], contrast["t1"], contrast["t1ce"]) < 0.85
        assert contrast["t2"] > 1.5
        tumour, _ = connected(case.label, np.ones((3, 3, 3)))
        around = np.isin(tumour, np.unique(tumour[cavity]))
        assert set(np.unique(case.label[around])) == {NCR, ED, ET, RC}


def test_the_share_of_cavities_holds_for_any_number_of_patients() -> None:
    drawn = list(phantom_cohort(cases=8, shape=SMALL, seed=2020, cavity_share=0.25))

    assert [bool((case.label == RC).any()) for case in drawn] == [False, False, False, True] * 2


def test_a_cohort_may_end_before_the_last_time_point_of_a_patient() -> None:
    two, three = (list(phantom_cohort(cases=count, shape=SMALL, seed=5, time_points=2)) for count in (2, 3))

    assert [case.case_id[-9:] for case in three] == ["90001-100", "90001-101", "90002-100"]
    for one, same in zip(two, three, strict=False):
        assert_array_equal(one.images["t2"], same.images["t2"])
        assert_array_equal(one.label, same.label)


def test_a_patient_has_one_row_in_each_table(cases: list[PhantomCase]) -> None:
    rows = [case.survival_info for case in cases]

    assert [row and row["BraTS24ID"] for row in rows[:4]] == ["BraTS-GLI-90001", None, "BraTS-GLI-90002", None]
    assert [case.name_mapping is None for case in cases] == [row is None for row in rows]
