from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from brats_ml.cohort.labels import LABELS
from brats_ml.reports.panels import COLOURS, figure_png, six_panels, write_figure

SHAPE = (20, 24, 6)


@pytest.fixture
def flair() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 500, SHAPE).astype(np.int16)


@pytest.fixture
def labels() -> np.ndarray:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[4:12, 6:16, 3] = LABELS["ED"]
    labels[6:10, 8:12, 3] = LABELS["ET"]
    labels[7:9, 9:11, 3:5] = LABELS["NCR"]
    return labels


def overlay(figure: Figure, panel: int) -> np.ndarray:
    return np.asarray(figure.axes[panel].images[1].get_array())


def test_equal_input_gives_equal_bytes(flair: np.ndarray, labels: np.ndarray) -> None:
    first, second = (figure_png(six_panels(flair, labels, labels, title="case")) for _ in range(2))

    assert first == second
    assert first.startswith(b"\x89PNG")
    assert b"atplotlib" not in first


def test_the_slice_with_most_reference_tumour_is_shown(flair: np.ndarray, labels: np.ndarray) -> None:
    figure = six_panels(flair, labels, np.zeros_like(labels), title="case")

    assert figure.get_suptitle() == "case, axial slice 3"


def test_without_reference_tumour_the_slice_with_most_predicted_is_shown(flair: np.ndarray, labels: np.ndarray) -> None:
    figure = six_panels(flair, np.zeros_like(labels), np.roll(labels, 2, axis=2), title="case")

    assert figure.get_suptitle() == "case, axial slice 5"


def test_an_empty_volume_is_drawn_at_its_middle() -> None:
    nothing = np.zeros(SHAPE, dtype=np.uint8)

    assert six_panels(nothing, nothing, nothing, title="case").get_suptitle() == "case, axial slice 3"


def test_each_label_has_a_panel_of_its_own_colour(flair: np.ndarray, labels: np.ndarray) -> None:
    figure = six_panels(flair, np.zeros_like(labels), labels, title="case")

    for panel, label in enumerate(LABELS, start=3):
        shown = overlay(figure, panel)
        covered = shown[shown[..., 3] > 0]
        assert len(covered) == np.count_nonzero(labels[..., 3] == LABELS[label])
        np.testing.assert_allclose(np.unique(covered[:, :3], axis=0), [to_rgba(COLOURS[label])[:3]])


def test_the_front_of_the_head_is_up_and_the_patients_right_on_the_left(flair: np.ndarray) -> None:
    """Canonical axes run to the left and to the back, so the first voxel belongs into the upper left corner."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[:3, :5, 2] = LABELS["ED"]

    figure = six_panels(flair, labels, labels, title="case")

    rows, columns = np.nonzero(overlay(figure, 1)[..., 3])
    assert (rows.max(), columns.max()) == (4, 2)
    assert figure.axes[0].yaxis_inverted()


def test_panels_show_the_head_without_the_empty_margin(labels: np.ndarray) -> None:
    flair = np.zeros((240, 240, 6), dtype=np.int16)
    flair[100:120, 110:134] = 100
    tumour = np.zeros_like(flair, dtype=np.uint8)
    tumour[100:120, 110:134] = labels

    figure = six_panels(flair, tumour, tumour, title="case")

    assert overlay(figure, 1).shape[:2] == (32, 28)


def test_a_figure_is_written_into_a_folder_that_is_made_for_it(tmp_path: Path, flair: np.ndarray) -> None:
    path = tmp_path / "figures" / "case.png"
    nothing = np.zeros(SHAPE, dtype=np.uint8)

    write_figure(path, six_panels(flair, nothing, nothing, title="case"))

    assert path.read_bytes().startswith(b"\x89PNG")
