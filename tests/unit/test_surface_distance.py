import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from scipy.spatial import distance

from brats_ml.imaging.metrics.surface_distance import hausdorff95, hausdorff95_by_bit

MM = (1.0, 1.0, 1.0)
shapes = st.tuples(*[st.integers(1, 7)] * 3)
spacings = st.tuples(*[st.floats(0.2, 6)] * 3)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(shapes)
    first, second = (draw(hnp.arrays(np.bool_, shape)) for _ in range(2))
    assume(first.any() and second.any())
    return first, second


@st.composite
def distant_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two masks with parts far beyond the rings, in a longer volume."""
    first, second = draw(pairs())
    gap = np.zeros((draw(st.integers(1, 30)), *first.shape[1:]), dtype=bool)
    order = draw(st.permutations([first, np.zeros_like(first)]))
    return np.concatenate([order[0], gap, order[1]]), np.concatenate([second, gap, np.zeros_like(second)])


def by_definition(first: np.ndarray, second: np.ndarray, spacing: tuple[float, float, float]) -> tuple[float, float]:
    """Every distance between every two surface voxels, as a second implementation."""
    points = [np.argwhere(mask & ~ndimage.binary_erosion(mask)) * np.array(spacing) for mask in (first, second)]
    apart = distance.cdist(*points)
    there, back = apart.min(axis=1), apart.min(axis=0)
    pooled = np.percentile(np.concatenate([there, back]), 95)
    return max(np.percentile(there, 95), np.percentile(back, 95)), pooled


@given(pairs() | distant_pairs(), spacings)
def test_both_definitions_equal_the_measure_of_all_pairs(
    masks: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float, float]
) -> None:
    found = hausdorff95(*masks, spacing_mm=spacing)

    assert (found.maximum, found.pooled) == pytest.approx(by_definition(*masks, spacing))


@given(pairs() | distant_pairs(), spacings)
def test_the_distance_is_symmetric(masks: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float, float]) -> None:
    assert hausdorff95(*masks, spacing_mm=spacing) == hausdorff95(*reversed(masks), spacing_mm=spacing)


@given(pairs() | distant_pairs())
def test_no_definition_can_exceed_the_farthest_point_and_pooling_lowers(masks: tuple[np.ndarray, np.ndarray]) -> None:
    found = hausdorff95(*masks, spacing_mm=MM)

    assert 0 <= found.pooled <= np.linalg.norm(masks[0].shape)
    assert 0 <= found.maximum <= np.linalg.norm(masks[0].shape)


@given(pairs() | distant_pairs(), st.floats(0.1, 10))
def test_the_distance_scales_with_the_spacing(masks: tuple[np.ndarray, np.ndarray], factor: float) -> None:
    found = hausdorff95(*masks, spacing_mm=MM)
    scaled = hausdorff95(*masks, spacing_mm=(factor, factor, factor))

    assert (scaled.maximum, scaled.pooled) == pytest.approx((factor * found.maximum, factor * found.pooled))


@given(pairs(), spacings)
def test_a_mask_has_no_distance_from_itself(
    masks: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float, float]
) -> None:
    found = hausdorff95(masks[0], masks[0], spacing_mm=spacing)

    assert (found.maximum, found.pooled) == (0, 0)


@settings(max_examples=25)
@given(hnp.arrays(np.uint8, (2, 5, 4, 6)))
def test_masks_in_the_bits_of_one_volume_are_measured_as_each_alone(volumes: np.ndarray) -> None:
    reference, prediction = volumes
    full = [bit for bit in range(8) if all(((volume >> bit) & 1).any() for volume in volumes)]

    found = hausdorff95_by_bit(reference, prediction, bits=full, spacing_mm=MM)

    for bit in full:
        alone = [((volume >> bit) & 1).astype(bool) for volume in volumes]
        assert found[bit] == hausdorff95(*alone, spacing_mm=MM)


def test_a_moved_plate_is_as_far_as_it_was_moved() -> None:
    """By hand: a plate across the volume; 3 steps of 2.5 mm are near, 20 of them far beyond the rings."""
    plate = np.zeros((40, 6, 6), dtype=bool)
    plate[5] = True

    for steps in (3, 20):
        found = hausdorff95(plate, np.roll(plate, steps, axis=0), spacing_mm=(2.5, 1, 1))
        assert (found.maximum, found.pooled) == (2.5 * steps, 2.5 * steps)


def test_a_far_false_positive_raises_the_maximum_and_may_leave_the_pooled() -> None:
    """By hand: 7 of 107 predicted voxels are 30 mm off: more than 5 % of one direction, less of both together."""
    reference = np.zeros((12, 12, 60), dtype=bool)
    reference[1:11, 1:11, 5] = True
    prediction = reference.copy()
    prediction[1:8, 1, 35] = True

    found = hausdorff95(reference, prediction, spacing_mm=MM)

    assert (found.maximum, found.pooled) == (30, 0)


@pytest.mark.parametrize("empty", [0, 1])
def test_an_empty_mask_is_refused(empty: int) -> None:
    masks = [np.ones((3, 3, 3), dtype=bool), np.ones((3, 3, 3), dtype=bool)]
    masks[empty][:] = False

    with pytest.raises(ValueError, match="empty mask"):
        hausdorff95(*masks, spacing_mm=MM)


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        hausdorff95(np.ones((3, 3, 3), dtype=bool), np.ones((3, 3, 2), dtype=bool), spacing_mm=MM)
