"""Registration of small heads with a known pose."""

import numpy as np
import pytest
from scipy import ndimage

from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.preparation.atlas import Atlas
from brats_ml.adapters.preparation.brain import completed
from brats_ml.adapters.preparation.registration import Scan, register
from brats_ml.imaging.rigid import Matrix, inverse, rotation_degrees, share_on_grid, shift_mm, voxels_between

pytest.importorskip("SimpleITK", reason="the extra `prepare` is not installed")
GRID = VoxelGrid((48, 56, 44), np.diag([-3.0, -3.0, 3.0, 1.0]))
CENTRE = (GRID.affine @ [24, 28, 22, 1])[:3]


def phantom_head() -> np.ndarray:
    """Return a head without any symmetry: two shells, and blobs of several brightnesses."""
    axes = (np.indices(GRID.shape).T - [24, 28, 22]).T / np.array([17, 21, 16])[:, None, None, None]
    radius = np.linalg.norm(axes, axis=0)
    blobs = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=GRID.shape), 3)
    made = np.where(radius < 1, 2 + 12 * blobs, 0) + np.where((radius > 1.05) & (radius < 1.2), 3.0, 0)
    return np.clip(made, 0, None).astype(np.float32)


def turned(head: np.ndarray, move: Matrix) -> Scan:
    """Return a head as it looks in another world; `move` leads from there to the world of the head."""
    return Scan(share_on_grid(head, voxels_between(move, GRID.affine, GRID.affine), GRID.shape), GRID)


def about_the_centre(degrees: float, shift: tuple[float, float, float]) -> Matrix:
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    move = np.eye(4)
    move[:2, :2] = [[cosine, -sine], [sine, cosine]]
    move[:3, 3] = CENTRE - move[:3, :3] @ CENTRE + shift
    return move


@pytest.mark.parametrize("degrees", [0.0, -20.0])
def test_a_known_move_is_found_within_one_degree_and_one_mm_and_keeps_volumes(degrees: float) -> None:
    head, true = phantom_head(), about_the_centre(degrees, (9.0, -6.0, 4.0))
    found = register(turned(head, true), Scan(head, GRID))
    error = found @ inverse(true)
    assert np.linalg.det(found[:3, :3]) == pytest.approx(1, abs=1e-9)
    assert rotation_degrees(error) < 1
    assert shift_mm(error, CENTRE) < 1


@pytest.mark.slow
def test_the_contrast_may_be_another_one() -> None:
    head, true = phantom_head(), about_the_centre(10.0, (5.0, 0.0, -5.0))
    moving = turned(head, true)
    other = Scan(np.where(moving.array > 0, 6 - moving.array, 0).astype(np.float32).clip(0), GRID)
    error = register(other, Scan(head, GRID)) @ inverse(true)
    assert rotation_degrees(error) < 1
    assert shift_mm(error, CENTRE) < 1


@pytest.mark.slow
def test_two_registrations_are_equal_bit_by_bit() -> None:
    head = phantom_head()
    moving = turned(head, about_the_centre(8.0, (4.0, 4.0, 0.0)))
    first, second = (register(moving, Scan(head, GRID)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_the_atlas_fills_what_was_not_scanned_as_bright_as_the_head() -> None:
    head = phantom_head()
    scanned = np.arange(GRID.shape[2]) >= 12
    atlas = Atlas(head, head > 0, GRID, ("", ""))

    found = completed(np.where(scanned, 3 * head, 0), np.broadcast_to(scanned, GRID.shape), atlas)

    np.testing.assert_allclose(found.array, 3 * head, rtol=1e-6)
