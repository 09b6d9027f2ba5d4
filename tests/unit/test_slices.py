import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brats_ml.segmentation.slices import labels_from_probabilities, slice_inputs, slice_range, slice_targets

SHAPE = (16, 16, 6)
label_maps = arrays(np.uint8, SHAPE, elements=st.integers(0, 3))


@given(label_maps)
def test_labels_become_targets_and_back_without_loss_at_native_size(labels: np.ndarray) -> None:
    targets = slice_targets(labels, size=16, first=0, count=None)

    again = labels_from_probabilities(targets, full_shape=SHAPE, first=0, count=None)

    np.testing.assert_array_equal(again, labels)


@given(label_maps, st.integers(0, 8), st.integers(1, 8))
def test_slices_that_the_recipe_does_not_use_are_background(labels: np.ndarray, first: int, count: int) -> None:
    targets = slice_targets(labels, size=16, first=first, count=count)

    again = labels_from_probabilities(targets, full_shape=SHAPE, first=first, count=count)

    np.testing.assert_array_equal(again[..., first : first + count], labels[..., first : first + count])
    assert not again[..., :first].any()
    assert not again[..., first + count :].any()


@settings(deadline=None)
@given(label_maps)
def test_targets_sum_to_one_at_any_size(labels: np.ndarray) -> None:
    targets = slice_targets(labels, size=12, first=0, count=None)

    assert targets.shape == (6, 12, 12, 4)
    np.testing.assert_allclose(targets.sum(axis=-1), 1.0, rtol=1e-5)


def test_all_modalities_are_divided_by_one_maximum() -> None:
    image = np.zeros((2, *SHAPE), dtype=np.int16)
    image[0], image[1] = 100, 400

    inputs = slice_inputs(image, size=16, first=0, count=None)

    np.testing.assert_allclose(inputs[..., 0], 0.25)
    np.testing.assert_allclose(inputs[..., 1], 1.0)


def test_an_empty_volume_stays_zero() -> None:
    assert not slice_inputs(np.zeros((2, *SHAPE), dtype=np.int16), size=16, first=0, count=None).any()


def test_the_baseline_uses_slices_22_to_121() -> None:
    used = slice_range(155, first=22, count=100)

    assert (used.start, used.stop) == (22, 122)


def test_a_volume_with_fewer_slices_is_used_to_its_end() -> None:
    assert slice_inputs(np.ones((1, *SHAPE)), size=16, first=4, count=100).shape == (2, 16, 16, 1)


def test_a_volume_that_ends_before_the_first_slice_gives_no_inputs() -> None:
    assert slice_inputs(np.ones((1, *SHAPE)), size=16, first=22, count=100).shape == (0, 16, 16, 1)
