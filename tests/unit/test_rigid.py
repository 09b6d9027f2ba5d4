"""Laws of rigid matrices, and of label maps on other grids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from brats_ml.imaging.rigid import (
    Matrix,
    inverse,
    labels_on_grid,
    rigid_part,
    rotation_degrees,
    share_on_grid,
    shift_mm,
    voxels_between,
)

turns = st.tuples(*[st.floats(-60, 60)] * 3)
shifts = st.tuples(*[st.floats(-80, 80)] * 3)


def move(turn: tuple[float, ...], shift: tuple[float, ...]) -> Matrix:
    """Return a rigid matrix by a second implementation of rotations."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(turn, degrees=True).as_matrix()
    matrix[:3, 3] = shift
    return matrix


def ball(shape: tuple[int, int, int], centre: tuple[float, ...], radius: float) -> np.ndarray:
    distance = np.linalg.norm(np.indices(shape).T - np.array(centre), axis=-1).T
    return (distance <= radius).astype(np.uint8) + (distance <= radius / 2)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@given(turns, shifts)
def test_the_inverse_leads_back(turn: tuple[float, ...], shift: tuple[float, ...]) -> None:
    assert inverse(move(turn, shift)) @ move(turn, shift) == pytest.approx(np.eye(4), abs=1e-9)


@given(turns, shifts)
def test_the_angle_is_the_length_of_the_rotation_vector(turn: tuple[float, ...], shift: tuple[float, ...]) -> None:
    # Near 0 the arc cosine turns one bit of the trace into a millionth of a degree.
    assert rotation_degrees(move(turn, shift)) == pytest.approx(float(np.linalg.norm(turn)), abs=1e-4)


@given(shifts, shifts)
def test_a_shift_moves_every_point_alike(shift: tuple[float, ...], point: tuple[float, ...]) -> None:
    assert shift_mm(move((0, 0, 0), shift), point) == pytest.approx(float(np.linalg.norm(shift)), abs=1e-9)


@given(turns, shifts, shifts, st.tuples(*[st.floats(0.8, 1.3)] * 3))
def test_scales_about_the_centre_leave_the_rigid_part_as_it_is(
    turn: tuple[float, ...], shift: tuple[float, ...], point: tuple[float, ...], sizes: tuple[float, ...]
) -> None:
    scaled, centre = np.diag([*sizes, 1.0]), np.array(point)
    scaled[:3, 3] = centre - scaled[:3, :3] @ centre

    assert rigid_part(scaled @ move(turn, shift), centre=centre) == pytest.approx(move(turn, shift), abs=1e-6)


@given(turns, shifts)
def test_there_and_back_is_nowhere(turn: tuple[float, ...], shift: tuple[float, ...]) -> None:
    thick, challenge = np.diag([0.9, 0.9, 5.0, 1.0]), np.diag([-1.0, -1.0, 1.0, 1.0])
    there = voxels_between(move(turn, shift), thick, challenge)
    back = voxels_between(inverse(move(turn, shift)), challenge, thick)
    assert back @ there == pytest.approx(np.eye(4), abs=1e-9)


def test_labels_survive_the_way_to_another_grid_and_back() -> None:
    labels = ball((40, 40, 40), (20, 19, 21), 9)
    matrix = voxels_between(move((8, -12, 15), (6, 5, -4)), np.diag([0.9, 0.9, 1.2, 1.0]), np.eye(4))
    there = labels_on_grid(labels, matrix, (60, 60, 50))
    back = labels_on_grid(there, inverse(matrix), labels.shape)
    assert dice(back > 0, labels > 0) > 0.95
    assert set(np.unique(there)) == {0, 1, 2}


def test_labels_on_their_own_grid_stay_as_they_are() -> None:
    labels = ball((12, 13, 14), (6, 6, 7), 4)
    assert np.array_equal(labels_on_grid(labels, np.eye(4), labels.shape), labels)


def test_beyond_the_edge_there_is_no_label() -> None:
    labels = np.full((4, 4, 4), 4, dtype=np.uint8)
    matrix = voxels_between(move((0, 0, 0), (10, 0, 0)), np.eye(4), np.eye(4))
    assert not labels_on_grid(labels, matrix, labels.shape).any()
    assert not share_on_grid(labels.astype(np.float32), matrix, labels.shape).any()
