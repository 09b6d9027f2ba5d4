import numpy as np
import pytest

from brats_ml.cohort.clinical import GROUPS
from brats_ml.survival.floors import calibration_floor, mean_prediction_errors
from brats_ml.survival.scores import calibration_error


def probabilities(patients: int, *, repeats: int = 1) -> np.ndarray:
    return np.random.default_rng(1).dirichlet([2, 2, 2], (repeats, patients))


def test_the_floor_falls_with_the_square_root_of_the_patients() -> None:
    few, many = (calibration_floor(probabilities(count), seed=0).mean for count in (40, 640))

    assert many == pytest.approx(few / 4, rel=0.15)


def test_a_perfectly_calibrated_model_is_above_the_high_end_once_in_twenty_cohorts() -> None:
    (predicted,) = probabilities(60)
    floor = calibration_floor(predicted[None], seed=0)
    random = np.random.default_rng(7)
    errors = []
    for _ in range(400):
        truth = np.array([random.choice(GROUPS, p=row) for row in predicted])
        errors.append(float(calibration_error(truth, predicted)))

    assert np.mean(errors) == pytest.approx(floor.mean, rel=0.05)
    assert 0.02 < np.mean(np.array(errors) > floor.high) < 0.09


def test_certain_predictions_have_no_error_by_chance() -> None:
    certain = np.eye(3)[np.arange(30) % 3][None]

    floor = calibration_floor(certain, seed=0)

    assert (floor.mean, floor.high) == (0, 0)


def test_the_floor_is_the_same_for_the_same_seed() -> None:
    assert calibration_floor(probabilities(20), seed=3) == calibration_floor(probabilities(20), seed=3)


@pytest.mark.parametrize("shape", [(1, 0, 3), (0, 5, 3)])
def test_a_floor_without_patients_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one patient"):
        calibration_floor(np.zeros(shape), seed=0)


def test_the_mean_of_the_others_is_worked_out_by_hand() -> None:
    """Of 100, 200 and 600 days the others have means of 400, 350 and 150, so the errors are 300, 150 and 450."""
    found = mean_prediction_errors(np.array([100.0, 200.0, 600.0]))

    assert found == {"mean_squared_error": pytest.approx(105000), "median_squared_error": pytest.approx(90000)}


def test_one_patient_has_no_others() -> None:
    with pytest.raises(ValueError, match="at least two patients"):
        mean_prediction_errors(np.array([100.0]))
