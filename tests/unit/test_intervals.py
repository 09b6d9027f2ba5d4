"""Intervals against laws, scipy, statsmodels, and their coverage of the true value in simulations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import beta, bootstrap, ttest_1samp
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from brats_ml.intervals import (
    BOOTSTRAP,
    SMALL,
    STUDENT,
    Interval,
    Values,
    by_patient,
    fold_interval,
    fold_p_value,
    mean_interval,
    percentile_interval,
    resampled_rows,
    share_interval,
)

samples = hnp.arrays(np.float64, st.integers(2, 60), elements=st.integers(0, 1000).map(lambda value: value / 1000))


def ends(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def width(interval: Interval) -> float:
    low, high = ends(interval)
    return high - low


def covered(values: Values, truth: float) -> float:
    """Return how often the interval of the mean covers the true mean, for samples of shape (sample, case)."""
    found = [ends(mean_interval(sample, resamples=2000)) for sample in values]
    return float(np.mean([low <= truth <= high for low, high in found]))


@settings(deadline=None)
@given(samples)
def test_the_interval_contains_the_mean_and_is_a_point_only_without_spread(values: np.ndarray) -> None:
    low, high = ends(mean_interval(values, resamples=500))

    assert low <= values.mean() + 1e-12
    assert values.mean() <= high + 1e-12
    assert (high - low > 1e-12) == (np.ptp(values) > 0)


@settings(deadline=None)
@given(samples, st.floats(-10, 10), st.floats(0.01, 100))
def test_the_interval_moves_and_scales_with_the_values(values: np.ndarray, shift: float, factor: float) -> None:
    low, high = ends(mean_interval(values, resamples=500))

    moved = ends(mean_interval(shift + factor * values, resamples=500))

    assert moved == pytest.approx((shift + factor * low, shift + factor * high), abs=1e-8)


@settings(deadline=None)
@given(hnp.arrays(np.float64, st.integers(2, 20), elements=st.integers(0, 10).map(float)))
def test_the_interval_shrinks_with_the_number_of_cases(values: np.ndarray) -> None:
    widths = [width(mean_interval(np.tile(values, copies), resamples=2000)) for copies in (1, 4, 16)]

    assert widths == sorted(widths, reverse=True)


@pytest.mark.parametrize("count", [2, 6, SMALL - 1])
def test_below_30_cases_the_interval_is_students_by_scipy_and_statsmodels(count: int) -> None:
    values = np.random.default_rng(count).beta(8, 2, count)

    found = mean_interval(values)

    assert found.method == STUDENT
    assert ends(found) == pytest.approx(ttest_1samp(values, 0).confidence_interval(0.95))
    assert ends(found) == pytest.approx(DescrStatsW(values).tconfint_mean())


@pytest.mark.parametrize("count", [SMALL, 80])
def test_from_30_cases_on_the_interval_is_the_bootstrap_of_scipy(count: int) -> None:
    values = np.random.default_rng(count).beta(8, 2, count)
    expected = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval

    found = mean_interval(values, seed=1)

    assert found.method == BOOTSTRAP
    assert ends(found) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_equal_seeds_give_equal_intervals_and_different_seeds_different_ones() -> None:
    values = np.random.default_rng(0).random(SMALL)

    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_a_single_value_has_no_interval() -> None:
    assert mean_interval(np.array([0.7])) == Interval(0.7, None, None, None)
    assert not mean_interval(np.array([0.7])).above_zero


@pytest.mark.parametrize("count", [5, 50])
def test_equal_values_have_an_interval_of_no_width(count: int) -> None:
    assert ends(mean_interval(np.full(count, 0.5))) == (0.5, 0.5)


def test_a_t_interval_ends_where_the_scale_ends() -> None:
    values = np.array([0.5, 1.0, 1.0])

    assert ends(mean_interval(values))[1] > 1
    assert mean_interval(values, scale=(0, 1)).high == 1


@pytest.mark.parametrize("count", [6, 12, 20, 29, 30, 60])
def test_the_interval_of_skewed_dice_covers_the_true_mean_at_least_92_times_in_100(count: int) -> None:
    """In the limit 0.933, 0.939, 0.943 and 0.947 by t; 0.926 and 0.939 by the bootstrap."""
    dice, simulated = beta(8, 2), 2000 if count < SMALL else 500
    error = np.sqrt(0.92 * 0.08 / simulated)

    found = covered(dice.rvs((simulated, count), random_state=count), dice.mean())

    assert 0.92 - 2 * error <= found <= 0.95 + 2 * error


def test_six_cases_are_too_few_for_the_bootstrap() -> None:
    """The reason for the switch: the bootstrap covers 0.82 of strongly skewed samples in the limit, t 0.90."""
    dice, simulated = beta(6, 0.8), 2000
    values = dice.rvs((simulated, 6), random_state=0)
    found = bootstrap((values,), np.mean, axis=1, n_resamples=2000, method="percentile", rng=0).confidence_interval

    by_bootstrap = float(np.mean((found.low <= dice.mean()) & (dice.mean() <= found.high)))

    error = np.sqrt(0.82 * 0.18 / simulated)
    assert by_bootstrap == pytest.approx(0.82, abs=2 * error)
    assert covered(values, dice.mean()) == pytest.approx(0.90, abs=2 * error)


def test_a_percentile_interval_of_a_median_covers_it_about_as_often_as_it_says() -> None:
    found = []
    for seed in range(300):
        values = np.random.default_rng(seed).normal(size=29)
        medians = np.median(values[resampled_rows(29, seed=seed)], axis=1)
        low, high = ends(percentile_interval(float(np.median(values)), medians))
        found.append(low <= 0 <= high)

    assert 0.91 <= np.mean(found) <= 0.98


def test_resamples_without_a_value_are_left_out_of_a_percentile_interval() -> None:
    assert ends(percentile_interval(0.5, np.array([np.nan, 0.5, 0.5]))) == (0.5, 0.5)


def test_the_interval_over_folds_is_students_with_the_corrected_variance() -> None:
    # By hand: mean 0.5, variance 0.01/3, weight 1/4 + 1/1, t(0.975, 3) = 3.182446.
    scores = np.array([0.45, 0.55, 0.45, 0.55])

    found = fold_interval(scores, folds=2)

    half = 3.182446 * (0.01 / 3 * 1.25) ** 0.5
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.5 - half, 0.5 + half))


def test_folds_that_share_nothing_would_give_the_usual_test() -> None:
    scores = np.random.default_rng(0).normal(0.02, 0.05, 20)

    # With so many folds that nothing is left to correct.
    assert fold_p_value(scores, folds=10**9) == pytest.approx(ttest_1samp(scores, 0).pvalue)
    assert fold_p_value(scores, folds=5) > ttest_1samp(scores, 0).pvalue


def test_equal_scores_of_zero_are_no_evidence_and_others_are_certain() -> None:
    assert fold_p_value(np.zeros(5), folds=5) == 1.0
    assert fold_p_value(np.full(5, 0.25), folds=5) == 0.0


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=20), st.integers(2, 10))
def test_an_interval_over_folds_contains_its_mean_and_ends_where_the_scale_ends(
    scores: list[float], folds: int
) -> None:
    found = fold_interval(np.array(scores), folds=folds, scale=(0, 1))
    low, high = ends(found)

    assert 0 <= low <= found.mean + 1e-12
    assert found.mean - 1e-12 <= high <= 1


@pytest.mark.parametrize(("right", "low", "high"), [(11, 0.279, 0.649), (12, 0.314, 0.686), (13, 0.351, 0.721)])
def test_wilsons_interval_of_24_patients(right: int, low: float, high: float) -> None:
    assert ends(share_interval(right, 24)) == pytest.approx((low, high), abs=5e-4)


@given(st.integers(1, 200).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_the_interval_of_a_share_is_wilsons_by_statsmodels(of: tuple[int, int]) -> None:
    right, count = of

    assert ends(share_interval(right, count)) == pytest.approx(proportion_confint(right, count, method="wilson"))


@given(samples, st.integers(1, 8), st.integers(0, 9))
def test_values_by_patient_keep_the_mean_of_all_examinations(values: Values, patients: int, seed: int) -> None:
    names = [f"P{number}" for number in np.random.default_rng(seed).integers(0, patients, len(values))]

    assert by_patient(values, names).mean() == pytest.approx(values.mean())
    assert len(by_patient(values, names)) == len(set(names))


def test_patients_with_equally_many_examinations_count_by_their_means() -> None:
    assert by_patient(np.array([0.2, 0.4, 0.9, 0.7]), ["A", "A", "B", "B"]) == pytest.approx([0.3, 0.8])
    alone = np.array([0.5, 0.1, 0.3])
    assert by_patient(alone, ["C", "A", "B"]).tolist() == alone.tolist()


def test_the_interval_over_patients_covers_where_one_over_examinations_does_not() -> None:
    rng = np.random.default_rng(0)
    inside = {"patients": 0.0, "examinations": 0.0}
    for _ in range(400):
        patients = np.repeat(np.arange(9), rng.integers(1, 4, 9))
        values = rng.normal(0, 1, 9)[patients] + rng.normal(0, 0.3, len(patients))
        inside["patients"] += covered(by_patient(values, patients.astype(str).tolist())[None], 0)
        inside["examinations"] += covered(values[None], 0)

    assert inside["patients"] > 0.9 * 400
    assert inside["examinations"] < 0.87 * 400
