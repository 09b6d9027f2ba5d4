import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from brats_ml.survival.intervals import corrected_t, interval, over_patients, wilson


def test_the_interval_is_students_with_the_corrected_variance() -> None:
    # By hand: mean 0.5, variance 0.01/3, weight 1/4 + 1/1, t(0.975, 3) = 3.182446.
    scores = np.array([0.45, 0.55, 0.45, 0.55])

    found = corrected_t(scores, folds=2)

    half = 3.182446 * (0.01 / 3 * 1.25) ** 0.5
    assert (found["mean"], found["low"], found["high"]) == pytest.approx((0.5, 0.5 - half, 0.5 + half))


def test_folds_that_share_nothing_would_give_the_usual_test() -> None:
    scores = np.random.default_rng(0).normal(0.02, 0.05, 20)

    # With so many folds that nothing is left to correct.
    assert corrected_t(scores, folds=10**9)["p"] == pytest.approx(ttest_1samp(scores, 0).pvalue)
    assert corrected_t(scores, folds=5)["p"] > ttest_1samp(scores, 0).pvalue


def test_equal_scores_of_zero_are_no_evidence_and_others_are_certain() -> None:
    assert corrected_t(np.zeros(5), folds=5)["p"] == 1.0
    assert corrected_t(np.full(5, 0.25), folds=5)["p"] == 0.0


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.integers(2, 10))
def test_an_interval_holds_its_mean_and_stays_within_its_scale(scores: list[float], folds: int) -> None:
    found = interval(np.array(scores), folds=folds)

    assert 0 <= found["low"] <= found["mean"] + 1e-12
    assert found["mean"] - 1e-12 <= found["high"] <= 1


@pytest.mark.parametrize(("right", "low", "high"), [(11, 0.279, 0.649), (12, 0.314, 0.686), (13, 0.351, 0.721)])
def test_wilsons_interval_of_24_patients(right: int, low: float, high: float) -> None:
    found = wilson(right, 24)

    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=5e-4)


def test_the_interval_over_patients_covers_the_true_mean_about_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(100):
        values = np.random.default_rng(seed).normal(size=40)
        found = over_patients(lambda rows, values=values: float(values[rows].mean()), 40, resamples=200, seed=seed)
        covered += found["low"] <= 0 <= found["high"]

    assert 0.86 <= covered / 100 <= 1.0
