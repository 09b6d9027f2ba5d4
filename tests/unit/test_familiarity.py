import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.phantom import phantom_patient
from brats_ml.imaging.quality.familiarity import Cohort, case_profile

SHAPE = (32, 32, 32)


def patient(index: int) -> tuple[np.ndarray, np.ndarray]:
    drawn = phantom_patient(index, shape=SHAPE, seed=5)
    labels = np.where(drawn.label == 4, 3, drawn.label).astype(np.uint8)
    return np.stack([drawn.images[name] for name in MODALITIES]).astype(np.float32), labels


PATIENTS = [patient(index) for index in range(6)]


@settings(max_examples=20)
@given(st.floats(0.1, 50), st.sampled_from([1, 2, 3]))
def test_neither_the_unit_of_the_scanner_nor_a_flip_changes_a_profile(factor: float, axis: int) -> None:
    image, labels = PATIENTS[0]
    odd = image[:, :31, :31, :31], labels[:31, :31, :31]  # every second voxel is the same from both ends
    known = case_profile(*odd)

    scaled = case_profile(odd[0] * np.float32(factor), odd[1])

    assert scaled == pytest.approx(known, abs=1e-3)
    if axis == 1:
        assert case_profile(np.flip(odd[0], axis), np.flip(odd[1], axis - 1)) == pytest.approx(known, abs=1e-3)


def test_a_cohort_is_as_far_as_its_farthest_case_and_another_scanner_is_farther() -> None:
    profiles = [case_profile(*one) for one in PATIENTS]
    cohort = Cohort.of(profiles)

    noisy = PATIENTS[0][0].copy()
    noisy += np.random.default_rng(0).normal(0, noisy.std(), noisy.shape).astype(np.float32) * (noisy != 0)

    own = [Cohort.of([*profiles[:at], *profiles[at + 1 :]]).raw(profile) for at, profile in enumerate(profiles)]
    assert cohort.farthest == pytest.approx(max(own))
    assert cohort.distance(case_profile(noisy, PATIENTS[0][1])) > 2 * max(map(cohort.distance, profiles))


def test_a_missing_modality_is_left_out_of_the_distance() -> None:
    cohort = Cohort.of([case_profile(*one) for one in PATIENTS])
    image = PATIENTS[1][0].copy()
    image[MODALITIES.index("t2")] = 0

    profile = case_profile(image, PATIENTS[1][1])

    assert not any("t2" in name.split("_") for name in profile)
    assert 0 < cohort.distance(profile) < 2


def test_order_of_the_cases_is_of_no_importance_and_few_cases_are_no_cohort() -> None:
    profiles = [case_profile(*one) for one in PATIENTS]

    forward, backward = Cohort.of(profiles), Cohort.of(profiles[::-1])

    assert forward.middle == pytest.approx(backward.middle)
    assert forward.farthest == pytest.approx(backward.farthest)
    with pytest.raises(ValueError, match="three"):
        Cohort.of(profiles[:2])
