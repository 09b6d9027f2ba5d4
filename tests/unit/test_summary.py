import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from brats_ml.imaging.metrics.summary import summarise
from brats_ml.intervals import mean_interval

scores = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1))


@settings(deadline=None)
@given(scores)
def test_a_summary_has_mean_and_median_and_the_interval_with_its_method(values: np.ndarray) -> None:
    found = summarise(values, scale=(0, 1))

    expected = mean_interval(values, scale=(0, 1))
    assert (found.mean, found.low, found.high) == (expected.mean, expected.low, expected.high)
    assert found.interval == expected.method
    assert found.mean == pytest.approx(values.mean())
    assert found.median == pytest.approx(np.median(values))


def test_cases_with_nothing_to_find_are_counted_and_left_out_of_the_second_mean() -> None:
    """By hand: one empty case was scored 1, one 0, the others 0.5 and 0.7."""
    found = summarise(np.array([1, 0, 0.5, 0.7]), empty=np.array([True, True, False, False]))

    assert (found.empty_reference, found.mean, found.mean_without_empty) == (2, pytest.approx(0.55), pytest.approx(0.6))


def test_without_any_structure_to_find_there_is_no_mean_of_the_others() -> None:
    assert summarise(np.ones(3), empty=np.ones(3, dtype=bool)).mean_without_empty is None


@pytest.mark.parametrize("values", [[], [0.5, float("nan")]])
def test_a_case_without_a_score_is_refused_not_dropped(values: list[float]) -> None:
    with pytest.raises(ValueError, match="none of them NaN"):
        summarise(np.array(values))
