"""The slice that shows why a volume breaks a rule, on volumes with a known defect at a known place."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from brats_ml.imaging.quality.defect import Defect
from brats_ml.imaging.quality.defects import SHOWN_BY, WITHOUT_PLACE, locate
from brats_ml.imaging.quality.rules import Rule, rules
from tests.unit.test_rules import LIMITS

RULES = rules(**(LIMITS | {"largest_intensity": 1e6}), severity={})
BY_COLUMN = {rule.column: rule for rule in RULES}
SHAPE = (24, 26, 28)


def head() -> np.ndarray:
    """Return a brain without any symmetry, values from 1 on, 0 outside."""
    x, y, z = np.indices(SHAPE)
    inside = ((x - 11) / 8) ** 2 + ((y - 12) / 9) ** 2 + ((z - 13) / 10) ** 2 < 1
    texture = gaussian_filter(np.random.default_rng(0).normal(size=SHAPE), 2)
    return np.where(inside, 1 + 400 * (texture - texture.min()), 0).astype(np.float32)


def case(**changes: np.ndarray) -> dict[str, np.ndarray]:
    image = head()
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[9:13, 10:14, 15:18] = 1
    reverse = np.where(image == 0, 0, 900 - image)
    return {"flair": image, "t1": image * 2, "t1ce": np.sqrt(image), "t2": reverse, "seg": labels} | changes


def found(column: str, role: str, volumes: dict[str, np.ndarray], axes: str = "LPS") -> Defect:
    defect = locate(BY_COLUMN[column], role, volumes, label_values=(1, 2, 4), axes=axes)
    assert isinstance(defect, Defect), defect
    return defect


def changed(value: float, *at: tuple[slice | int, ...]) -> np.ndarray:
    image = head()
    for place in at:
        image[place] = value
    return image


@pytest.mark.parametrize(
    ("column", "value"),
    [("finite", np.nan), ("finite", np.inf), ("minimum", -1e9), ("maximum", 1e9), ("negative_share", -5)],
)
def test_wrong_values_are_marked_in_the_slice_with_most_of_them(column: str, value: float) -> None:
    image = changed(value, (3, 4, 5), (slice(6, 9), 7, 21))

    defect = found(column, "t1ce", case(t1ce=image))

    assert (defect.axis, defect.index, defect.roles) == (2, 21, ("t1ce",))
    assert np.argwhere(defect.marked).tolist() == [[6, 7], [7, 7], [8, 7]]
    assert "3 in this slice and 4 in the volume" in defect.legend


@pytest.mark.parametrize(("axes", "axis", "index"), [("LPS", 2, 21), ("RAS", 2, 21), ("SLP", 0, 6), ("AIR", 1, 7)])
def test_the_slice_is_axial_and_counted_as_stored(axes: str, axis: int, index: int) -> None:
    defect = found("finite", "t1ce", case(t1ce=changed(np.nan, (6, 7, 21))), axes)

    assert (defect.axis, defect.index) == (axis, index)


def test_labels_outside_the_brain_are_marked_on_an_image() -> None:
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[11, 12, 13] = 1
    labels[0:2, 0:3, 25] = 2

    defect = found("outside_brain_share", "seg", case(seg=labels))

    assert (defect.axis, defect.index, defect.roles) == (2, 25, ("flair",))
    assert np.count_nonzero(defect.marked) == 6


def test_labels_of_another_release_are_marked() -> None:
    labels = case()["seg"]
    labels[10, 11, 16:18] = 3
    labels[11, 11, 17] = 3

    defect = found("foreign_labels", "seg", case(seg=labels))

    assert defect.index == 17
    assert np.argwhere(defect.marked).tolist() == [[10, 11], [11, 11]]


def test_an_incomplete_image_shows_what_it_lacks_with_the_brain_of_the_others() -> None:
    defect = found("mask_agreement", "t2", case(t2=changed(0, (slice(None), slice(None), 12))))

    assert defect.index == 12
    assert np.array_equal(defect.marked, head()[..., 12] != 0)
    assert np.array_equal(defect.outlined, head()[..., 12] != 0)


@pytest.mark.parametrize(
    ("flip", "axis", "words"),
    [
        ((0,), 2, "left to right"),
        ((1,), 2, "front to back"),
        ((2,), 1, "top to bottom"),
        ((0, 1), 2, "left to right and front to back"),
    ],
)
def test_a_flipped_image_is_shown_next_to_another_in_a_slice_where_the_flip_is_visible(
    flip: tuple[int, ...], axis: int, words: str
) -> None:
    volumes = case(t1=np.flip(head() * 2, flip))

    defect = found("mirror_ratio", "t1", volumes)

    assert defect.axis == axis
    assert defect.roles == ("t1", "flair")
    assert f"if it is flipped {words}." in defect.legend


def test_a_flipped_label_map_is_drawn_where_the_flip_is_visible() -> None:
    flair = head()
    flair[4:8, 10:14, 15:18] = 900
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[4:8, 10:14, 15:18] = 1

    for flip, axis in (((0,), 2), ((2,), 1)):
        defect = found("label_advantage", "seg", case(flair=flair, seg=np.flip(labels, flip)))
        assert defect.axis == axis
        assert defect.roles == ("flair", "t2")
        assert defect.outlined.any()


def test_the_image_that_is_alike_is_shown_too() -> None:
    noise = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)

    defect = found("likeness", "t1ce", case(flair=noise, t1=-noise, t2=head() + noise))

    assert defect.roles == ("t1ce", "t2")


def test_exchanged_images_are_shown_together() -> None:
    bright, volumes = changed(9000, (10, 10, slice(9, 12)), (11, 10, 11)), case()
    assert found("enhancement", "t1ce", case(t1=bright)).roles == ("t1ce", "t1")
    assert found("enhancement", "t1ce", case(t1=bright)).index == 11
    assert found("fluid_contrast", "t2", volumes).roles == ("t2", "flair")
    assert found("pairing", "t1", volumes).roles == ("t1", "t1ce", "flair", "t2")


def test_every_rule_has_a_picture_or_words_and_none_has_both() -> None:
    assert SHOWN_BY.keys() | WITHOUT_PLACE.keys() == BY_COLUMN.keys()
    assert not SHOWN_BY.keys() & WITHOUT_PLACE.keys()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.column)
@pytest.mark.parametrize("value", [0.0, 1.0, np.nan, np.inf, 3e38])
def test_a_case_of_one_odd_volume_ends_in_words_or_a_slice(rule: Rule, value: float) -> None:
    for role in ("t1", "seg"):
        volumes = {role: np.full((4, 5, 6), value, dtype=np.float32)}
        defect = locate(rule, role, volumes, label_values=(1, 2, 4), axes="???")
        assert defect
        assert locate(rule, "t2", volumes, label_values=(1, 2, 4), axes="LPS")
