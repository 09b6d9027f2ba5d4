"""Changes between two time points: volumes, and lesions that are new."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, label

from brats_ml.imaging.longitudinal import Lesion, are_apart, middle_of, new_lesions, percent_change, side_of

SHAPE = (24, 20, 16)
Mask = NDArray[np.bool_]


def ball(centre: tuple[int, int, int], radius: float, spacing_mm: tuple[float, float, float] = (1, 1, 1)) -> Mask:
    places = np.moveaxis(np.indices(SHAPE), 0, -1)
    return np.asarray(np.linalg.norm((places - centre) * spacing_mm, axis=-1) <= radius)


def found(before: Mask, after: Mask, **settings_: float) -> list[Lesion]:
    known = {"margin_mm": 3.0, "smallest_mm3": 2.0, **settings_}
    return new_lesions(before, after, {"WT": after}, spacing_mm=(1, 1, 1), **known)


@pytest.mark.parametrize(
    ("before", "after", "percent"), [(10.0, 15.0, 50.0), (10.0, 0.0, -100.0), (4.0, 4.0, 0.0), (0.0, 3.0, None)]
)
def test_a_change_is_a_share_of_what_was_before(before: float, after: float, percent: float | None) -> None:
    assert percent_change(before, after) == percent


def test_intervals_are_apart_only_if_they_share_no_value() -> None:
    assert are_apart((1, 2), (3, 4))
    assert are_apart((3, 4), (1, 2))
    assert not are_apart((1, 3), (3, 4))
    assert not are_apart((1, 9), (2, 3))


def test_a_tumour_that_grows_has_no_new_lesion() -> None:
    assert found(ball((8, 8, 8), 3), ball((8, 8, 8), 5)) == []


def test_a_lesion_away_from_the_earlier_ones_is_new_with_its_volume_centre_and_regions() -> None:
    old, new = ball((6, 8, 8), 3), ball((18, 8, 8), 2)
    core = ball((18, 8, 8), 1)
    (lesion,) = new_lesions(
        old, old | new, {"ET": core, "WT": old | new}, spacing_mm=(1, 1, 2), margin_mm=3, smallest_mm3=2
    )

    assert (lesion.centre, lesion.volume_mm3) == ((18, 8, 8), 2.0 * new.sum())
    assert lesion.regions_mm3 == {"ET": 2.0 * core.sum(), "WT": 2.0 * new.sum()}


def test_without_an_earlier_tumour_every_lesion_is_new_and_the_largest_comes_first() -> None:
    small, large = ball((4, 4, 4), 1), ball((16, 12, 8), 3)

    assert [lesion.centre for lesion in found(np.zeros(SHAPE, bool), small | large)] == [(16, 12, 8), (4, 4, 4)]
    assert found(small | large, np.zeros(SHAPE, bool)) == found(*2 * [np.zeros(SHAPE, bool)]) == []


def test_the_margin_is_in_millimetres_along_each_axis() -> None:
    before, after = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    before[8, 8, 4], after[8, 8, 6:8] = True, True  # two voxels apart
    spacing = {"spacing_mm": (1, 1, 3), "smallest_mm3": 1}

    assert new_lesions(before, after, {}, margin_mm=6, **spacing) == []  # type: ignore[arg-type]
    assert len(new_lesions(before, after, {}, margin_mm=5.9, **spacing)) == 1  # type: ignore[arg-type]


def test_a_speck_is_no_lesion_at_either_time_point() -> None:
    speck, lesion = np.zeros(SHAPE, bool), ball((12, 10, 8), 2)
    speck[12, 10, 8] = True

    assert found(np.zeros(SHAPE, bool), speck) == []
    assert [one.centre for one in found(speck, lesion)] == [(12, 10, 8)]


def test_the_centre_of_a_hollow_lesion_is_a_voxel_of_it() -> None:
    shell = ball((12, 10, 8), 4) & ~ball((12, 10, 8), 3)
    (lesion,) = found(np.zeros(SHAPE, bool), shell)

    assert shell[lesion.centre]


def test_other_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="different grids"):
        found(np.zeros((2, 2, 2), bool), np.zeros(SHAPE, bool))


masks = st.integers(0, 2**20).map(lambda seed: np.random.default_rng(seed).random((9, 8, 7)) < 0.03)


@settings(deadline=None)
@given(masks, masks, st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0]))
def test_a_new_lesion_is_one_that_meets_none_after_dilation(before: Mask, after: Mask, margin: float) -> None:
    reach = int(margin)
    places = np.moveaxis(np.indices((2 * reach + 1,) * 3) - reach, 0, -1)
    element = np.linalg.norm(places, axis=-1) <= margin
    parts, count = label(after, np.ones((3, 3, 3)))
    expected = [
        parts == number
        for number in range(1, count + 1)
        if not (binary_dilation(parts == number, element) & before).any()
    ]

    lesions = new_lesions(before, after, {}, spacing_mm=(1, 1, 1), margin_mm=margin, smallest_mm3=1)

    assert sorted(lesion.volume_mm3 for lesion in lesions) == sorted(float(part.sum()) for part in expected)
    assert all(any(part[lesion.centre] for part in expected) for lesion in lesions)


def test_sides_are_those_of_the_patient_from_the_middle_of_the_brain() -> None:
    brain = np.zeros((41, 4, 4), bool)
    brain[10:31] = True

    assert middle_of(brain) == 20
    assert middle_of(np.zeros((41, 4, 4), bool)) == 20
    assert [side_of(at, 20, 1) for at in (14, 15, 25, 26)] == ["right", "middle", "middle", "left"]
    assert side_of(23, 20, 2) == "left"
