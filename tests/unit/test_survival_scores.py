import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from brats_ml.survival.scores import calibration, calibration_error, days_scores, group_scores

TRUTH = np.array(["short", "mid", "long", "long"])


def test_scores_of_groups_by_hand() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.0, 0.5, 0.5], [0.2, 0.2, 0.6]])

    found = group_scores(TRUTH, np.array(["short", "short", "mid", "long"]), probabilities)

    assert found["accuracy"] == 0.5
    assert found["balanced_accuracy"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0 + 2 / 3) / 3)
    assert found["log_loss"] == pytest.approx(-np.log([0.8, 0.3, 0.5, 0.6]).mean())
    assert found["brier"] == pytest.approx((0.06 + 0.86 + 0.5 + 0.24) / 4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_log_loss_is_that_of_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.choice(["long", "mid", "short"], 20)
    probabilities = random.dirichlet([1, 1, 1], 20)

    expected = log_loss(truth, probabilities[:, [2, 1, 0]], labels=["long", "mid", "short"])

    assert group_scores(truth, truth, probabilities)["log_loss"] == pytest.approx(expected)


def test_a_certain_error_does_not_make_the_loss_infinite() -> None:
    found = group_scores(TRUTH[:3], TRUTH[:3], np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))

    assert 10 < found["log_loss"] < 12


def test_probabilities_that_are_the_shares_are_calibrated_and_certain_wrong_ones_are_not() -> None:
    shares = np.tile([0.25, 0.25, 0.5], (4, 1))

    assert calibration_error(TRUTH, shares, bins=1) == pytest.approx(0)
    assert calibration_error(TRUTH, np.tile([1.0, 0.0, 0.0], (4, 1)), bins=1) == pytest.approx((0.75 + 0.25 + 0.5) / 3)


def test_each_patient_is_in_one_bin_of_a_group() -> None:
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], 13)
    truth = np.random.default_rng(1).choice(["long", "mid", "short"], 13)

    for predicted, seen, counts in calibration(truth, probabilities, bins=5).values():
        assert counts.sum() == 13
        assert (np.diff(predicted) >= 0).all()
        assert ((seen >= 0) & (seen <= 1)).all()


def test_errors_of_days_leave_out_who_was_alive_and_concordance_does_not() -> None:
    days, dead = np.array([100.0, 200.0, 400.0, 300.0]), np.array([True, True, True, False])
    expected = np.array([110.0, 180.0, 400.0, 9999.0])

    found = days_scores(days, dead, expected, risk=-expected)

    assert found["mean_squared_error"] == pytest.approx((100 + 400 + 0) / 3)
    assert found["median_squared_error"] == pytest.approx(100)
    assert found["spearman"] == pytest.approx(1)
    assert found["concordance"] == 1
    assert days_scores(days, dead, expected, risk=np.array([3.0, 2.0, 1.0, 9.0]))["concordance"] == pytest.approx(3 / 5)


def test_a_constant_prediction_has_no_rank_correlation() -> None:
    days = np.array([100.0, 200.0, 300.0])

    found = days_scores(days, np.ones(3, dtype=bool), np.full(3, 200.0), np.zeros(3))

    assert np.isnan(found["spearman"])
    assert found["concordance"] == 0.5
