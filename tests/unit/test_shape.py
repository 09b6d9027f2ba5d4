import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.imaging.shape import LOCATION, SHAPE, location_features, shape_features

ED, ET = 2, 3


def box(*sides: slice) -> np.ndarray:
    labels = np.zeros((20, 20, 20), dtype=np.uint8)
    labels[sides] = ED
    return labels


def test_a_cube_has_the_documented_compactness_and_fills_its_box() -> None:
    found = shape_features(box(slice(3, 8), slice(3, 8), slice(3, 8)))

    assert set(found) == set(SHAPE)
    assert found["wt_compactness"] == pytest.approx(36 * np.pi / 6**3)
    assert found["wt_extent"] == 1
    assert found["wt_pieces"] == 1


def test_a_ball_has_the_documented_compactness() -> None:
    away = np.indices((61, 61, 61)) - 30
    ball = np.where((away**2).sum(axis=0) <= 27**2, ED, 0).astype(np.uint8)

    assert shape_features(ball)["wt_compactness"] == pytest.approx(0.30, abs=0.01)


def test_an_absent_region_has_no_shape() -> None:
    found = shape_features(box(slice(3, 8), slice(3, 8), slice(3, 8)))
    nothing = shape_features(np.zeros((5, 5, 5), dtype=np.uint8))

    assert np.isnan(found["tc_compactness"])
    assert np.isnan(found["tc_extent"])
    assert np.isnan(nothing["wt_compactness"])
    assert nothing["wt_pieces"] == 0


def test_pieces_that_touch_at_a_corner_are_one() -> None:
    labels = np.zeros((6, 6, 6), dtype=np.uint8)
    labels[1, 1, 1] = labels[2, 2, 2] = ED
    assert shape_features(labels)["wt_pieces"] == 1
    labels[5, 5, 5] = ET
    assert shape_features(labels)["wt_pieces"] == 2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8))
def test_shape_does_not_depend_on_location(x: int, y: int, z: int) -> None:
    labels = np.zeros((16, 16, 16), dtype=np.uint8)
    labels[x : x + 4, y : y + 6, z : z + 2] = ET

    moved = np.zeros_like(labels)
    moved[:4, :6, :2] = ET
    assert shape_features(labels) == shape_features(moved)


def test_location_is_relative_to_the_brain_and_the_same_for_both_sides() -> None:
    brain = np.zeros((20, 20, 20), dtype=bool)
    brain[5:16, 0:11, 4:15] = True
    left, right = (box(slice(side, side + 1), slice(2, 3), slice(14, 15)) for side in (5, 15))

    found = location_features(left, brain)

    assert set(found) == set(LOCATION)
    assert found == pytest.approx({"wt_off_midline": 0.5, "wt_front_to_back": 0.2, "wt_bottom_to_top": 1.0})
    assert location_features(right, brain) == pytest.approx(found)


def test_an_absent_tumour_has_no_location() -> None:
    found = location_features(np.zeros((4, 4, 4), dtype=np.uint8), np.ones((4, 4, 4), dtype=bool))

    assert np.isnan(list(found.values())).all()
