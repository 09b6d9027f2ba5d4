from io import BytesIO

import numpy as np

from brats_ml.reports.confusion import confusion_figure

GROUPS = ("short", "mid", "long")
MATRIX = np.array([[5, 1, 0], [2, 3, 1], [0, 0, 8]])


def test_cells_hold_the_counts_and_axes_the_groups() -> None:
    (axes,) = confusion_figure(MATRIX, GROUPS, title="svm").axes

    assert [text.get_text() for text in axes.texts] == ["5", "1", "0", "2", "3", "1", "0", "0", "8"]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(GROUPS)
    assert [label.get_text() for label in axes.get_xticklabels()] == list(GROUPS)


def test_the_title_states_the_accuracy() -> None:
    (axes,) = confusion_figure(MATRIX, GROUPS, title="svm").axes

    assert axes.get_title() == "svm\naccuracy 0.800"


def test_a_group_without_patients_is_drawn_white() -> None:
    (axes,) = confusion_figure(np.diag([3, 0, 2]), GROUPS, title="svm").axes

    assert not np.isnan(axes.images[0].get_array()).any()


def test_equal_matrices_give_equal_bytes() -> None:
    first, second = BytesIO(), BytesIO()
    for target in (first, second):
        confusion_figure(MATRIX, GROUPS, title="svm").savefig(target, format="png", metadata={"Software": None})

    assert first.getvalue() == second.getvalue()
