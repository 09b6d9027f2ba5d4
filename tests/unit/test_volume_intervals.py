import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.imaging.quality.volume_intervals import LEAST_DIFFICULTY, covered, difficulty, half_width, volume_interval

volumes = st.floats(0, 3e5)


@given(volumes, st.floats(0, 50))
def test_an_interval_holds_its_prediction_and_is_symmetric_on_the_cube_root(predicted: float, width: float) -> None:
    low, high = volume_interval(predicted, width)

    assert 0 <= low <= predicted * (1 + 1e-12) + 1e-9
    assert high >= predicted * (1 - 1e-12) - 1e-9
    assert np.cbrt(high) - np.cbrt(predicted) == pytest.approx(width, abs=1e-6)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_lower_expected_dice_is_more_difficult(first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert difficulty(low) >= difficulty(high)
    assert difficulty(0.0) > difficulty(0.5)
    assert difficulty(1.0) == LEAST_DIFFICULTY


@settings(max_examples=25)
@given(st.integers(10, 60), st.integers(0, 2**32 - 1))
def test_the_width_is_the_order_statistic_of_split_conformal_prediction(count: int, seed: int) -> None:
    """By reference: the ceil(0.9 (n + 1))-th smallest scaled residual."""
    generator = np.random.default_rng(seed)
    predicted, true = generator.gamma(2, 2e4, size=(2, count))
    scales = generator.uniform(0.1, 1, size=count)

    found = half_width(predicted.tolist(), true.tolist(), scales.tolist(), coverage=0.9)

    residuals = np.sort(np.abs(np.cbrt(true) - np.cbrt(predicted)) / scales)
    # crepes counts from the largest one, and rounds in favour of the wider interval.
    exact = int(np.ceil(0.9 * (count + 1) - 1e-9))
    assert found in [pytest.approx(residuals[at - 1]) for at in (exact, exact + 1) if at <= count]


def test_too_few_cases_have_no_interval() -> None:
    nine = [1000.0] * 9

    assert half_width(nine, nine, nine, coverage=0.9) is None
    assert covered(nine, nine, nine, coverage=0.9) is None
    assert half_width([], [], [], coverage=0.9) is None


def test_exchangeable_cases_are_covered_as_stated() -> None:
    """The guarantee of conformal prediction: on average over calibration sets, at least 90 of 100 new cases."""
    generator = np.random.default_rng(0)
    shares = []
    for _ in range(60):
        true = generator.gamma(2, 3e4, size=140)
        scales = generator.uniform(0.1, 1, size=140)
        predicted = np.clip(np.cbrt(true) + 10 * scales * generator.standard_t(3, size=140), 0, None) ** 3
        width = half_width(predicted[:40].tolist(), true[:40].tolist(), scales[:40].tolist(), coverage=0.9)
        assert width is not None
        ends = [volume_interval(one, width * scale) for one, scale in zip(predicted[40:], scales[40:], strict=True)]
        shares.append(np.mean([low <= one <= high for (low, high), one in zip(ends, true[40:], strict=True)]))

    assert 0.88 <= np.mean(shares) <= 0.95


def test_coverage_by_the_others_leaves_the_case_itself_out() -> None:
    predicted, true, scales = [1e3] * 20, [1e3] * 19 + [9e4], [1.0] * 20

    found = covered(predicted, true, scales, coverage=0.9)

    assert found is not None
    assert found.tolist() == [True] * 19 + [False]
