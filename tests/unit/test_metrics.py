import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import distance

from brats_ml.cohort.labels import LABELS
from brats_ml.imaging.metrics import CASE_DICE, case_dice, dice

SHAPE = (4, 3, 5)
masks = hnp.arrays(np.bool_, SHAPE)
label_maps = hnp.arrays(np.uint8, SHAPE, elements=st.integers(0, 3))


@given(masks, masks)
def test_dice_agrees_with_scipy_where_there_is_anything(reference: np.ndarray, prediction: np.ndarray) -> None:
    if reference.any() or prediction.any():
        expected = 1 - distance.dice(reference.ravel(), prediction.ravel())
        assert dice(reference, prediction) == pytest.approx(expected)


@given(masks, masks)
def test_dice_is_symmetric_and_between_0_and_1(reference: np.ndarray, prediction: np.ndarray) -> None:
    score = dice(reference, prediction)

    assert score == dice(prediction, reference)
    assert 0 <= score <= 1


@given(masks, masks, st.integers(0, 2))
def test_dice_does_not_change_when_both_masks_are_flipped(
    reference: np.ndarray, prediction: np.ndarray, axis: int
) -> None:
    assert dice(np.flip(reference, axis), np.flip(prediction, axis)) == dice(reference, prediction)


def test_finding_nothing_where_nothing_is_scores_1() -> None:
    nothing = np.zeros(SHAPE, dtype=bool)

    assert dice(nothing, nothing) == 1


def test_inventing_or_missing_a_structure_scores_0() -> None:
    nothing, something = np.zeros(SHAPE, dtype=bool), np.ones(SHAPE, dtype=bool)

    assert dice(nothing, something) == 0
    assert dice(something, nothing) == 0


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        dice(np.ones((2, 2, 2), dtype=bool), np.ones((2, 2, 1), dtype=bool))


@given(label_maps)
def test_a_label_map_agrees_with_itself_in_every_region_and_label(labels: np.ndarray) -> None:
    assert case_dice(labels, labels) == dict.fromkeys(CASE_DICE, 1.0)


@given(label_maps, label_maps)
def test_every_score_of_a_case_has_its_name(reference: np.ndarray, predicted: np.ndarray) -> None:
    assert tuple(case_dice(reference, predicted)) == CASE_DICE


def test_regions_are_unions_of_labels() -> None:
    """By hand: every second voxel's label is wrong, inside the whole tumour; the core is NCR and ET."""
    reference = np.array([[[LABELS["NCR"], LABELS["ED"], LABELS["ET"], 0]]], dtype=np.uint8)
    predicted = np.array([[[LABELS["ET"], LABELS["ED"], LABELS["ED"], 0]]], dtype=np.uint8)

    assert case_dice(reference, predicted) == {
        "dice_WT": 1.0,
        "dice_TC": pytest.approx(2 / 3),
        "dice_ET": 0.0,
        "dice_label_NCR": 0.0,
        "dice_label_ED": pytest.approx(2 / 3),
        "dice_label_ET": 0.0,
    }
