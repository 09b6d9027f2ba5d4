import keras
import numpy as np
import pytest

from brats_ml.imaging.metrics import baseline
from brats_ml.imaging.metrics.baseline import BASELINE_SCORES, baseline_scores
from brats_ml.segmentation.training import baseline as baseline_training

SHAPE = (2, 8, 8)


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(4, dtype=np.float32)[labels]


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, SHAPE)


@pytest.fixture
def softmax() -> np.ndarray:
    raw = np.exp(2 * np.random.default_rng(1).standard_normal((*SHAPE, 4)))
    return (raw / raw.sum(axis=-1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("certain", [0.0, 0.5, 1.0])
def test_mean_iou_is_what_keras_computes_without_argmax(
    labels: np.ndarray, softmax: np.ndarray, certain: float
) -> None:
    target = one_hot(labels)
    target[0] = (target[0] + np.roll(target[0], 1, axis=0)) / 2
    chosen = np.random.default_rng(2).random(SHAPE) < certain
    predicted = np.where(chosen[..., None], one_hot(softmax.argmax(axis=-1)), softmax)

    metric = keras.metrics.MeanIoU(num_classes=4)
    metric.update_state(target, predicted)

    assert baseline.baseline_mean_iou(target, predicted) == pytest.approx(float(metric.result()), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "keras_name"), [("baseline_precision", "Precision"), ("baseline_sensitivity", "Recall")]
)
def test_precision_and_sensitivity_are_those_of_keras_on_hard_targets(
    labels: np.ndarray, softmax: np.ndarray, name: str, keras_name: str
) -> None:
    metric = getattr(keras.metrics, keras_name)(thresholds=0.5)
    metric.update_state(one_hot(labels), softmax)

    assert BASELINE_SCORES[name](one_hot(labels), softmax) == pytest.approx(float(metric.result()), abs=1e-5)


def test_accuracy_is_keras_categorical_accuracy(labels: np.ndarray, softmax: np.ndarray) -> None:
    metric = keras.metrics.CategoricalAccuracy()
    metric.update_state(one_hot(labels), softmax)

    assert baseline.baseline_accuracy(one_hot(labels), softmax) == pytest.approx(float(metric.result()), abs=1e-6)


def test_dice_coef_is_the_one_that_training_watches(labels: np.ndarray, softmax: np.ndarray) -> None:
    expected = float(baseline_training.baseline_dice_coef(one_hot(labels), softmax))

    assert baseline.baseline_dice_coef(one_hot(labels), softmax) == pytest.approx(expected, abs=1e-6)


def test_mean_iou_rewards_background_everywhere() -> None:
    """By hand: 5 % of the pixels are tumour; entries of 1 agree on 95 % of pixels, of 0 on 2.95 of 3.05 a pixel."""
    labels = np.zeros((1, 10, 10), dtype=np.int64)
    labels[0, 0, :5] = 1
    background = one_hot(np.zeros_like(labels))

    score = baseline.baseline_mean_iou(one_hot(labels), background)

    assert score == pytest.approx((95 / 105 + 295 / 305) / 2)


def test_mean_iou_punishes_a_right_prediction_that_is_not_wholly_certain(labels: np.ndarray) -> None:
    """By hand: every 0.955 is cast to 0, so entries of 1 never agree and entries of 0 agree on 3 of 4."""
    target = one_hot(labels)
    right_at_95_percent = target * 0.94 + 0.015

    assert baseline.baseline_mean_iou(target, right_at_95_percent) == pytest.approx(0.375)


def test_a_certain_and_right_prediction_scores_1_by_every_formula(labels: np.ndarray) -> None:
    scores = baseline_scores(one_hot(labels), one_hot(labels))

    assert scores == {name: pytest.approx(1, abs=1e-4) for name in BASELINE_SCORES}


@pytest.mark.parametrize("name", ["baseline_dice_necrotic", "baseline_dice_edema", "baseline_dice_enhancing"])
def test_a_label_rightly_not_found_scores_0_by_the_baselines_label_dice(name: str) -> None:
    nothing = one_hot(np.zeros(SHAPE, dtype=np.int64))

    assert BASELINE_SCORES[name](nothing, nothing) == 0


def test_formulas_by_hand() -> None:
    """One pixel of ET, found with probability 0.6, background with 0.4."""
    target = np.array([[[[0, 0, 0, 1]]]], dtype=np.float32)
    predicted = np.array([[[[0.4, 0, 0, 0.6]]]], dtype=np.float32)

    scores = baseline_scores(target, predicted)

    assert scores["baseline_dice_enhancing"] == pytest.approx(2 * 0.6 / (1 + 0.36), abs=1e-5)
    # background 1 / 1.4, two absent labels 1 each, ET 2.2 / 2.6
    assert scores["baseline_dice_coef"] == pytest.approx((1 / 1.4 + 1 + 1 + 2.2 / 2.6) / 4)
    assert scores["baseline_precision"] == pytest.approx(1, abs=1e-6)
    assert scores["baseline_sensitivity"] == pytest.approx(1, abs=1e-6)
    assert scores["baseline_specificity"] == pytest.approx(1, abs=1e-6)
