import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from brats_ml.cohort.labels import LABELS
from brats_ml.reports.overlays import plane_of, three_planes, tumour_centre
from brats_ml.reports.panels import COLOURS, figure_png

SHAPE = (20, 24, 16)
HEAD = np.ones(SHAPE, dtype=np.int16)
NOTHING = np.zeros(SHAPE, dtype=np.uint8)


@pytest.fixture
def labels() -> np.ndarray:
    labels = NOTHING.copy()
    labels[4:13, 6:17, 3:10] = LABELS["ED"]
    labels[8, 11, 6] = LABELS["ET"]
    return labels


def overlays(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[1].get_array()) for axes in figure.axes]


def draw(reference: np.ndarray, predicted: np.ndarray) -> Figure:
    return three_planes(HEAD, reference, predicted, title="case", modality="T1ce")


def test_each_plane_through_the_centre_has_reference_and_prediction(labels: np.ndarray) -> None:
    predicted = np.where(labels == LABELS["ET"], LABELS["NCR"], 0).astype(np.uint8)

    figure = draw(labels, predicted)

    names = [part.get_suptitle() for part in figure.subfigs]
    assert names == ["axial, slice 6", "coronal, slice 11", "sagittal, slice 8"]
    assert [axes.get_title() for axes in figure.axes] == ["reference", "predicted"] * 3
    enhancing, necrotic = (to_rgba(COLOURS[label])[:3] for label in ("ET", "NCR"))
    for reference, found in zip(overlays(figure)[::2], overlays(figure)[1::2], strict=True):
        assert np.count_nonzero((np.abs(reference[..., :3] - enhancing) < 1e-6).all(axis=-1)) == 1
        assert np.count_nonzero(found[..., 3]) == 1
        np.testing.assert_allclose(found[found[..., 3] > 0][0, :3], necrotic)


def test_front_and_top_of_the_head_are_up_or_left_and_the_right_side_is_left() -> None:
    """Canonical axes run to the left, to the back and up: this corner is right, front, top."""
    corner = NOTHING.copy()
    corner[:2, :3, -4:] = LABELS["ED"]

    axial, coronal, sagittal = overlays(draw(corner, corner))[::2]

    for picture, rows, columns in ((axial, 3, 2), (coronal, 4, 2), (sagittal, 4, 3)):
        shown = np.argwhere(picture[..., 3])
        assert shown.min(axis=0).tolist() == [0, 0]
        assert shown.max(axis=0).tolist() == [rows - 1, columns - 1]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(*(st.integers(0, size - 1) for size in SHAPE)), min_size=1, max_size=6))
def test_every_plane_through_the_centre_meets_the_tumour(voxels: list[tuple[int, int, int]]) -> None:
    labels = NOTHING.copy()
    labels[tuple(np.transpose(voxels))] = LABELS["ET"]

    centre = tumour_centre(labels, NOTHING)

    assert all(plane_of(labels, axis, centre[axis]).any() for axis in range(3))


def test_where_the_reference_is_empty_the_prediction_is_shown_and_else_the_middle(labels: np.ndarray) -> None:
    assert tumour_centre(NOTHING, labels) == (8, 11, 6)
    assert tumour_centre(NOTHING, NOTHING) == (10, 12, 8)


def test_empty_volumes_are_drawn_and_equal_input_gives_equal_bytes() -> None:
    first, second = (figure_png(three_planes(NOTHING, NOTHING, NOTHING, title="c", modality="T1ce")) for _ in range(2))

    assert first == second
