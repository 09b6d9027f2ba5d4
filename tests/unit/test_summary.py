import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import bootstrap

from brats_ml.imaging.metrics.summary import mean_interval, summarise

scores = hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1))


@given(scores)
def test_the_interval_lies_within_the_values(values: np.ndarray) -> None:
    found = summarise(values)

    assert found.mean == pytest.approx(values.mean())
    assert found.median == pytest.approx(np.median(values))
    if len(values) < 2:
        assert (found.low, found.high) == (None, None)
    else:
        assert values.min() - 1e-12 <= found.low <= found.high <= values.max() + 1e-12


def test_the_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).gamma(2, size=40)
    expected = bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval

    found = mean_interval(values, seed=1)

    assert found == pytest.approx((expected.low, expected.high), abs=0.02)


def test_equal_seeds_give_equal_intervals_and_others_others() -> None:
    values = np.random.default_rng(0).random(12)

    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


def test_cases_with_nothing_to_find_are_counted_and_told_apart() -> None:
    """By hand: one empty case was scored 1, one 0, the others 0.5 and 0.7."""
    found = summarise(np.array([1, 0, 0.5, 0.7]), empty=np.array([True, True, False, False]))

    assert (found.empty_reference, found.mean, found.mean_without_empty) == (2, pytest.approx(0.55), pytest.approx(0.6))


def test_without_any_structure_to_find_there_is_no_mean_of_the_others() -> None:
    assert summarise(np.ones(3), empty=np.ones(3, dtype=bool)).mean_without_empty is None


@pytest.mark.parametrize("values", [[], [0.5, float("nan")]])
def test_a_case_without_a_score_is_refused_not_dropped(values: list[float]) -> None:
    with pytest.raises(ValueError, match="none of them NaN"):
        summarise(np.array(values))
