import numpy as np
import pytest

from brats_ml.reports.defect_picture import defect_picture, upright
from brats_ml.reports.panels import figure_png


@pytest.mark.parametrize("codes", ["LP", "RA", "RP", "LA", "PL", "AR", "AL"])
def test_an_axial_slice_has_the_front_up_and_the_right_side_of_the_patient_on_the_left(codes: str) -> None:
    """The value of each voxel is 10 if it is in the front, and 1 if it is on the right."""
    front = np.array([10, 0] if set(codes) & {"P"} else [0, 10])
    right = np.array([1, 0] if set(codes) & {"L"} else [0, 1])
    plane = right[:, None] + front[None, :] if codes[0] in "LR" else front[:, None] + right[None, :]

    assert upright(plane, codes).tolist() == [[11, 10], [1, 0]]


@pytest.mark.parametrize(("codes", "expected"), [("LS", [[11, 10], [1, 0]]), ("IR", [[11, 10], [1, 0]])])
def test_a_coronal_slice_has_the_top_up(codes: str, expected: list[list[int]]) -> None:
    plane = np.array([[1, 11], [0, 10]]) if codes == "LS" else np.array([[10, 11], [0, 1]])

    assert upright(plane, codes).tolist() == expected


def test_an_unknown_direction_is_drawn_as_it_is() -> None:
    assert upright(np.arange(6).reshape(2, 3), "??").tolist() == [[0, 3], [1, 4], [2, 5]]


def test_the_first_panel_is_marked_and_all_are_outlined() -> None:
    plane, mask = np.arange(20.0).reshape(4, 5), np.eye(4, 5, dtype=bool)

    figure = defect_picture({"t2": plane, "flair": plane}, marked=mask, outlined=mask, axes="LPS", axis=2)

    assert [axes.get_title() for axes in figure.axes] == ["t2", "flair"]
    assert [len(axes.get_images()) for axes in figure.axes] == [2, 1]
    assert [len(axes.collections) for axes in figure.axes] == [1, 1]


@pytest.mark.parametrize("value", [0, np.nan, np.inf, 3e38])
def test_any_plane_can_be_drawn_and_equal_planes_give_equal_bytes(value: float) -> None:
    planes = {"t1": np.full((4, 5), value, dtype=np.float32)}
    one, other = (
        figure_png(defect_picture(planes, marked=None, outlined=np.ones((4, 5), dtype=bool), axes="LPS", axis=2))
        for _ in range(2)
    )

    assert one.startswith(b"\x89PNG")
    assert one == other
