"""Models of time against statsmodels, brute force and laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import SurvfuncRight

from brats_ml.stages.survival_figures import survival_curve
from brats_ml.survival.concordance import concordance
from brats_ml.survival.cox import Cox
from brats_ml.survival.time_models import outcomes


def cohort(count: int = 80, *, seed: int = 0, ties: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    features = random.uniform(size=(count, 3))
    days = random.exponential(400 * np.exp(-1.5 * features[:, 0] + features[:, 1]))
    days = np.ceil(days / 20) * 20 if ties else days + 1
    return features, days, random.uniform(size=count) < 0.8


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("penalty", [0.0, 0.02])
def test_cox_has_the_coefficients_of_statsmodels(ties: bool, penalty: float) -> None:
    features, days, dead = cohort(ties=ties)
    peer = PHReg(days, features - features.mean(axis=0), status=dead.astype(int), ties="breslow")
    expected = peer.fit(disp=0) if not penalty else peer.fit_regularized(alpha=penalty, L1_wt=0.0, cnvrg_tol=1e-12)

    found = Cox(penalty=penalty).fit(features, outcomes(days, dead))

    np.testing.assert_allclose(found.coefficients_, expected.params, atol=2e-4)


def test_the_curve_at_the_centre_is_the_baseline_of_statsmodels() -> None:
    features, days, dead = cohort()
    found = Cox(penalty=0.0).fit(features, outcomes(days, dead))
    peer = PHReg(days, features - features.mean(axis=0), status=dead.astype(int), ties="breslow").fit(disp=0)
    when, hazard, _ = peer.baseline_cumulative_hazard[0]

    curve = found.curves(features.mean(axis=0)[None])[0]

    # statsmodels gives the hazard just before each day.
    days_before_the_last = found.curve_days_[found.curve_days_ < when.max()]
    expected = [np.exp(-hazard[when > day][0]) for day in days_before_the_last]
    np.testing.assert_allclose(curve[: len(expected)], expected, rtol=1e-4)
    assert len(expected) >= len(curve) - 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(4, 30))
def test_curves_fall_and_probabilities_of_groups_sum_to_1(seed: int, count: int) -> None:
    features, days, dead = cohort(count, seed=seed)
    dead[0] = True
    found = Cox().fit(features, outcomes(days, dead))

    curves, shares = found.curves(features), found.predict_proba(features)

    assert (np.diff(curves, axis=1) <= 1e-12).all()
    assert ((curves >= 0) & (curves <= 1)).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares >= -1e-12).all()


def test_groups_end_where_the_limits_say() -> None:
    # Nobody differs, so the curve is the share alive: a third dies at 299, one at 300, one at 450, the rest at 451.
    days = np.array([299.0, 299.0, 300.0, 450.0, 451.0, 451.0])
    found = Cox().fit(np.zeros((6, 1)), outcomes(days, np.ones(6, dtype=bool)))

    long, mid, short = found.predict_proba(np.zeros((1, 1)))[0]

    steps = np.exp(-np.cumsum([2 / 6, 1 / 4, 1 / 3, 1.0]))  # Breslow's hazards of 299, 300, 450 and 451
    assert short == pytest.approx(1 - steps[0])
    assert mid == pytest.approx(steps[0] - steps[2])
    assert long == pytest.approx(steps[2])


def test_expected_days_are_the_area_under_the_curve() -> None:
    found = Cox().fit(np.zeros((2, 1)), outcomes(np.array([100.0, 300.0]), np.ones(2, dtype=bool)))

    # By hand: hazards 1/2 and 1, so the curve is 1 to day 100 and exp(-0.5) from there to day 300.
    assert found.expected_days(np.zeros((1, 1)))[0] == pytest.approx(100 + 200 * np.exp(-0.5))


def test_who_was_alive_longer_makes_everyone_live_longer() -> None:
    features, days, _ = cohort(40)
    dead = np.ones(40, dtype=bool)
    died = Cox().fit(features, outcomes(days, dead)).expected_days(features)
    dead[np.argsort(days)[-10:]] = False

    assert Cox().fit(features, outcomes(days, dead)).expected_days(features).mean() > died.mean()
    assert Cox().fit(features, outcomes(days, dead)).alive_past(features, days.max()).mean() > 0


def test_a_cohort_in_which_nobody_died_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody is known to have died"):
        Cox().fit(np.zeros((3, 1)), outcomes(np.arange(3.0), np.zeros(3, dtype=bool)))


@pytest.mark.parametrize("seed", range(5))
def test_the_share_alive_is_that_of_statsmodels(seed: int) -> None:
    _, days, dead = cohort(30, seed=seed)
    peer = SurvfuncRight(days, dead.astype(int))

    curve = survival_curve(days, dead, peer.surv_times)

    np.testing.assert_array_equal(curve.days, [0, *peer.surv_times])
    np.testing.assert_allclose(curve.shares, [1, *peer.surv_prob], rtol=0, atol=1e-15)
    np.testing.assert_array_equal(curve.at_risk, peer.n_risk)


def test_without_a_death_everyone_stays_alive() -> None:
    curve = survival_curve(np.array([100.0, 200.0]), np.zeros(2, dtype=bool), [0, 150, 300])

    assert (curve.days.tolist(), curve.shares.tolist()) == ([0], [1])
    assert curve.at_risk.tolist() == [2, 1, 0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.booleans(), st.integers(0, 4)), min_size=2, max_size=12))
def test_concordance_counts_pairs_as_documented(lives: list[tuple[int, bool, int]]) -> None:
    days, dead, risk = (np.array(column) for column in zip(*lives, strict=True))
    points = []
    for i in range(len(lives)):
        for j in range(len(lives)):
            if dead[i] and (days[i] < days[j] or (days[i] == days[j] and not dead[j])):
                points.append(1.0 if risk[i] > risk[j] else 0.5 if risk[i] == risk[j] else 0.0)
    expected = np.mean(points) if points else 0.5

    assert concordance(days.astype(float), dead.astype(bool), risk.astype(float)) == pytest.approx(expected)
