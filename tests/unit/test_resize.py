import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import zoom

from brats_ml.imaging.resize import resize_slices

sizes = st.integers(2, 40)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((240, 240, 3), (128, 128)), ((128, 128, 3), (240, 240)), ((64, 48, 2), (32, 32)), ((7, 5, 3), (64, 9))],
)
def test_resizing_agrees_with_tensorflow(shape: tuple[int, int, int], size: tuple[int, int]) -> None:
    volume = np.random.default_rng(0).random(shape, dtype=np.float32)

    resized = resize_slices(volume, size)

    expected = tf.image.resize(np.moveaxis(volume, -1, 0)[..., None], size).numpy()[..., 0]
    # TensorFlow computes sample positions in float32, which moves them by up to 1e-5 of a pixel on white noise.
    np.testing.assert_allclose(np.moveaxis(resized, -1, 0), expected, atol=2e-5)


@given(sizes, sizes, sizes, sizes)
def test_resizing_agrees_with_scipy_in_double_precision(height: int, width: int, rows: int, columns: int) -> None:
    volume = np.random.default_rng(height * width).random((height, width, 2))

    resized = resize_slices(volume, (rows, columns))

    factors = (rows / height, columns / width, 1)
    expected = zoom(volume, factors, order=1, mode="nearest", grid_mode=True)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(resized, expected, atol=1e-5)


@given(sizes, sizes, st.integers(-1000, 30000))
def test_a_constant_image_stays_constant(source: int, target: int, value: int) -> None:
    volume = np.full((source, source, 1), value, dtype=np.int16)

    np.testing.assert_allclose(resize_slices(volume, (target, target)), value, rtol=1e-6)


@given(sizes)
def test_resizing_to_the_same_size_changes_nothing(size: int) -> None:
    volume = np.random.default_rng(size).integers(0, 4000, (size, size + 1, 2)).astype(np.int16)

    np.testing.assert_array_equal(resize_slices(volume, (size, size + 1)), volume)


@given(st.integers(4, 20), st.integers(2, 4))
def test_a_ramp_stays_a_ramp_away_from_the_edges(size: int, factor: int) -> None:
    ramp = np.broadcast_to(np.arange(size, dtype=np.float32)[:, None, None], (size, size, 1))

    enlarged = resize_slices(ramp, (size * factor, size))[factor:-factor, 0, 0]

    np.testing.assert_allclose(np.diff(enlarged), 1 / factor, atol=1e-5)


@given(sizes, sizes)
def test_values_stay_within_the_range_of_the_volume(source: int, target: int) -> None:
    volume = np.random.default_rng(source).random((source, source, 1), dtype=np.float32)

    resized = resize_slices(volume, (target, target))

    assert resized.min() >= volume.min() - 1e-6
    assert resized.max() <= volume.max() + 1e-6
