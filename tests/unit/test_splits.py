from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brats_ml.cohort.patients import Identities, identify
from brats_ml.cohort.splits import PARTS, carry, extend

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}

cohorts = st.dictionaries(st.text("abcdef0123456789", min_size=1, max_size=6), st.sampled_from("sml"), max_size=60)
seeds = st.integers(0, 5)


@st.composite
def shares(draw: st.DrawFn) -> dict[str, float]:
    validation, test = draw(st.floats(0.05, 0.4)), draw(st.floats(0.05, 0.4))
    return {"train": 1 - validation - test, "validation": validation, "test": test}


@given(cohorts, cohorts, shares(), seeds)
def test_no_patient_moves_when_the_cohort_grows(
    first: dict[str, str], second: dict[str, str], shares: dict[str, float], seed: int
) -> None:
    before = extend({}, first, shares=shares, seed=seed)

    after = extend(before, first | second, shares=shares, seed=seed)

    assert {patient: after[patient] for patient in before} == before
    assert set(after) == {*first, *second}


@given(cohorts, st.randoms(), seeds)
def test_the_order_of_patients_does_not_matter(cohort: dict[str, str], random: Random, seed: int) -> None:
    shuffled = list(cohort.items())
    random.shuffle(shuffled)

    assert extend({}, cohort, shares=SHARES, seed=seed) == extend({}, dict(shuffled), shares=SHARES, seed=seed)


@given(cohorts, cohorts, st.floats(0.2, 0.3), st.floats(0.2, 0.3), seeds)
def test_every_part_is_within_one_patient_of_its_share_however_the_cohort_grew(
    first: dict[str, str], second: dict[str, str], validation: float, test: float, seed: int
) -> None:
    shares = {"train": 1 - validation - test, "validation": validation, "test": test}
    strata = first | second

    parts = extend(extend({}, first, shares=shares, seed=seed), strata, shares=shares, seed=seed)

    counts = Counter(parts.values())
    assert all(abs(counts[part] - shares[part] * len(strata)) <= 1 + 1e-9 for part in PARTS)


@given(cohorts, shares(), seeds)
def test_no_part_is_empty_with_three_patients_or_more(
    cohort: dict[str, str], shares: dict[str, float], seed: int
) -> None:
    counts = Counter(extend({}, cohort, shares=shares, seed=seed).values())

    assert len(counts) == min(3, len(cohort))


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 12), seeds)
def test_every_stratum_is_near_its_share_of_every_part(short: int, mid: int, long: int, seed: int) -> None:
    sizes = {"short": short, "mid": mid, "long": long}
    strata = {f"{stratum}{index}": stratum for stratum, size in sizes.items() for index in range(size)}
    parts = extend({}, strata, shares=SHARES, seed=seed)

    counts = Counter((strata[patient], part) for patient, part in parts.items())
    assert all(
        abs(counts[stratum, part] - SHARES[part] * size) < 2 for stratum, size in sizes.items() for part in PARTS
    )


@pytest.mark.parametrize(
    ("patients", "expected"),
    [(3, (1, 1, 1)), (4, (2, 1, 1)), (5, (3, 1, 1)), (6, (4, 1, 1)), (48, (29, 10, 9)), (369, (221, 74, 74))],
)
def test_cohorts_of_known_size_are_split_into_the_expected_counts(
    patients: int, expected: tuple[int, int, int]
) -> None:
    counts = Counter(extend({}, {str(index): "all" for index in range(patients)}, shares=SHARES, seed=0).values())

    assert tuple(counts[part] for part in PARTS) == expected


def test_a_patient_who_has_left_keeps_the_part_but_no_longer_counts() -> None:
    before = extend({}, {f"old{index}": "all" for index in range(10)}, shares=SHARES, seed=0)

    after = extend(before, {f"new{index}": "all" for index in range(5)}, shares=SHARES, seed=0)

    assert before.items() <= after.items()
    assert Counter(after[f"new{index}"] for index in range(5)) == {"train": 3, "validation": 1, "test": 1}


def test_a_different_seed_gives_a_different_split() -> None:
    strata = {str(index): "all" for index in range(40)}

    assert extend({}, strata, shares=SHARES, seed=0) != extend({}, strata, shares=SHARES, seed=1)


KNOWN = identify({}, [], same=[("Brats18_X_1", "BraTS20_Training_001"), ("mine", "BraTS20_Training_002")])


def test_a_part_assigned_under_an_older_name_is_carried_over_to_the_present_name() -> None:
    parts, apart = carry([{"Brats18_X_1": "test", "mine": "validation"}], KNOWN)

    assert parts == {"BraTS20_Training_001": "test", "BraTS20_Training_002": "validation"}
    assert apart == {}


@pytest.mark.parametrize("others", ["train", "validation"])
def test_a_patient_in_two_parts_under_two_names_trains_and_is_reported(others: str) -> None:
    parts, apart = carry([{"Brats18_X_1": "test", "BraTS20_Training_001": others}], KNOWN)

    assert parts == {"BraTS20_Training_001": "train"}
    assert apart == {"BraTS20_Training_001": {"Brats18_X_1": "test", "BraTS20_Training_001": others}}


def test_a_patient_with_two_names_in_one_part_stays_in_it() -> None:
    parts, apart = carry([{"Brats18_X_1": "test"}, {"BraTS20_Training_001": "test"}], KNOWN)

    assert (parts, apart) == ({"BraTS20_Training_001": "test"}, {})


@given(st.dictionaries(st.text("abcdef", min_size=1), st.sampled_from(PARTS)))
def test_a_patient_with_one_name_keeps_the_part(previous: dict[str, str]) -> None:
    assert carry([previous, previous], Identities()) == (previous, {})


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(PARTS)), st.data())
def test_no_patient_is_in_training_and_held_out_however_names_unite(
    previous: dict[str, str], data: st.DataObject
) -> None:
    pairs = data.draw(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh"))))
    known = identify({}, previous, pairs)

    parts, apart = carry([previous], known)

    assert set(parts) == {known.patient(name) for name in previous}
    for name, part in previous.items():
        patient = known.patient(name)
        assert parts[patient] == (part if patient not in apart else "train")
