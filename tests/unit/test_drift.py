"""A batch that is like the training cases raises few alarms, and one that is not is found."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from brats_ml.imaging.quality.drift import DRAWS, compare

Profiles = list[dict[str, float]]


def profiles(values: np.ndarray) -> Profiles:
    return [{f"feature{at}": float(value) for at, value in enumerate(row)} for row in values]


def drawn(random: np.random.Generator, cases: int, features: int = 12) -> np.ndarray:
    """Return correlated features with heavy tails, as those of scans are."""
    mixed = random.standard_t(3, (cases, features)) @ np.random.default_rng(1).normal(size=(features, features))
    return np.exp(mixed / 10)


@pytest.mark.parametrize(("training", "batch"), [(13, 4), (30, 16), (5, 40)])
def test_batches_that_are_alike_raise_at_most_one_alarm_in_twenty(training: int, batch: int) -> None:
    """200 null batches raise about 10 alarms at a level of 0.05; more than 19 would be three standard errors above."""
    random = np.random.default_rng(training)
    alarms = 0
    for seed in range(200):
        values = profiles(drawn(random, training + batch))
        found = compare(values[:training], values[training:], seed=seed)
        assert found is not None
        alarms += found.p_value <= 0.05

    assert alarms <= 19


def test_a_shift_of_one_feature_is_found_in_sixteen_cases_and_named() -> None:
    random = np.random.default_rng(0)
    values = drawn(random, 46)
    values[30:, 7] *= 1.0 + 2 * values[:, 7].std() / values[:, 7].mean()

    found = compare(profiles(values[:30]), profiles(values[30:]))

    assert found is not None
    assert found.p_value <= 0.01
    assert next(iter(found.shifts)) == "feature7"
    assert found.shifts["feature7"] > 3


def test_the_p_value_is_that_of_all_batches_of_the_size() -> None:
    """By reference: every one of the 5005 choices of 6 cases among 15, without a random draw."""
    values = drawn(np.random.default_rng(3), 15, features=4)
    values[9:, 0] += 0.4
    ranks = rankdata(values, axis=0)
    scaled = (ranks - ranks.mean(axis=0)) / ranks.std(axis=0)
    inverse = np.linalg.inv(np.cov(scaled, rowvar=False, ddof=0) + 0.1 * np.eye(4))
    means = np.array([scaled[list(chosen)].mean(axis=0) for chosen in combinations(range(15), 6)])
    distances = np.einsum("ij,jk,ik->i", means, inverse, means)
    own = scaled[9:].mean(axis=0)
    exact = np.mean(distances >= own @ inverse @ own - 1e-9)

    found = compare(profiles(values[:9]), profiles(values[9:]))

    assert found is not None
    assert found.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / DRAWS))


@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(-5, 5))
def test_units_and_order_of_the_training_cases_change_nothing(seed: int, scale: float, offset: float) -> None:
    random = np.random.default_rng(seed)
    values = drawn(random, 12, features=3)
    found = compare(profiles(values[:8]), profiles(values[8:]))
    again = compare(profiles(values[:8] * scale + offset), profiles(values[8:] * scale + offset))

    assert found is not None
    assert again is not None
    assert again.shifts == pytest.approx(found.shifts)
    assert again.p_value == found.p_value


def test_a_feature_that_some_case_lacks_is_left_out_and_nothing_in_common_is_no_comparison() -> None:
    values = profiles(drawn(np.random.default_rng(0), 12, features=3))
    del values[3]["feature1"]

    found = compare(values[:8], values[8:])

    assert found is not None
    assert set(found.shifts) == {"feature0", "feature2"}
    assert compare(values[:8], [{"other": 1.0}]) is None
    assert compare(values[:8], []) is None
    assert compare([{"same": 1.0}] * 4, [{"same": 1.0}] * 3) is None
