"""The time points of one patient, from the names of cases to the parts and folds that they are in."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_ml.cohort.cases import find_cases
from brats_ml.cohort.folds import folds
from brats_ml.cohort.lab_names import case_name
from brats_ml.cohort.names import bare_name, name_key, patient_of, time_order, time_point_of
from brats_ml.cohort.patients import identify
from brats_ml.cohort.splits import PARTS, extend

series = st.sampled_from(["GLI", "SSA", "MET", "PED", "GoAT"])
numbers = st.integers(0, 99999)
time_points = st.lists(st.integers(0, 999), min_size=1, max_size=4, unique=True)
cohorts = st.dictionaries(st.tuples(series, numbers), time_points, min_size=3, max_size=12)
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}


def names_of(cohort: dict[tuple[str, int], list[int]]) -> list[str]:
    return [f"BraTS-{name}-{number:05d}-{time:03d}" for (name, number), times in cohort.items() for time in times]


@pytest.mark.parametrize(
    ("case_id", "patient", "time_point"),
    [
        ("BraTS-GLI-02062-100", "BraTS-GLI-02062", "100"),
        ("brats-gli-02062-101", "brats-gli-02062", "101"),
        ("BraTS-GoAT-00007", "BraTS-GoAT-00007", ""),
        ("sub-01_ses-2024-01-31", "sub-01", "2024-01-31"),
        ("PAT_SES-post", "PAT", "post"),
        ("BraTS20_Training_001", "BraTS20_Training_001", ""),
        ("BraTS2021_00000", "BraTS2021_00000", ""),
    ],
)
def test_a_case_has_a_patient_and_perhaps_a_time_point(case_id: str, patient: str, time_point: str) -> None:
    assert (patient_of(case_id), time_point_of(case_id)) == (patient, time_point)


@given(cohorts)
def test_all_time_points_are_one_patient_by_every_way_to_compare_names(
    cohort: dict[tuple[str, int], list[int]],
) -> None:
    names = names_of(cohort)
    known = identify({}, names)

    assert len({patient_of(name) for name in names}) == len(cohort) == len({name_key(name) for name in names})
    assert {known.patient(name) for name in names} == set(map(patient_of, names))
    assert all(patient_of(patient_of(name)) == patient_of(name) == bare_name(name) for name in names)


@given(cohorts, st.integers(0, 9))
def test_no_patient_is_in_two_parts_or_in_two_folds(cohort: dict[tuple[str, int], list[int]], seed: int) -> None:
    names = names_of(cohort)
    files = [f"{name}/{name}-{role}.nii.gz" for name in names for role in ("t1n", "t1c", "t2w", "t2f", "seg")]
    cases = find_cases(files)
    parts = extend({}, {case.patient: "unlabelled" for case in cases}, shares=SHARES, seed=seed)
    drawn = folds([case.patient for case in cases], count=3, seed=seed)

    assert len(cases) == len(names)
    for patient in {patient_of(name) for name in names}:
        own = [case.patient for case in cases if patient_of(case.case_id) == patient]
        assert len({parts[name] for name in own}) == 1
        assert len({drawn[name] for name in own}) == 1
    assert set(parts.values()) == set(PARTS)


@given(st.lists(st.integers(0, 2000), unique=True), st.randoms())
def test_time_points_are_in_the_order_of_their_numbers(times: list[int], random: Random) -> None:
    shuffled = random.sample(times, len(times))

    for name in ("BraTS-GLI-00001-{}", "sub-7_ses-{}", "P_ses-week{}"):
        ordered = sorted(map(name.format, shuffled), key=time_order)
        assert ordered == [name.format(time) for time in sorted(times)]


def test_a_case_without_a_time_point_is_the_first_and_words_are_the_last() -> None:
    cases = ["P", *(case_name("P", visit) for visit in ("2", "2-1", "10", "2024-01-31", "2024-02-01", "later"))]
    shuffled = [cases[at] for at in (3, 0, 6, 2, 5, 1, 4)]

    assert sorted(shuffled, key=time_order) == cases
