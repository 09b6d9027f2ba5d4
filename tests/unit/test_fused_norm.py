from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from brats_ml.segmentation.networks.fused_norm import FusedInstanceNorm, norm_and_leaky_relu
from brats_ml.segmentation.networks.region_unet import EPSILON, LEAK, region_unet

# Rows of several voxels in several blocks, a prime number of voxels, one voxel, and rows of one wide voxel.
SHAPES = [(2, 32, 24, 8), (1, 8, 8, 16, 4), (2, 7, 11, 5), (3, 1, 1, 2), (1, 6, 6, 320)]


def values(*shape: int, mean: float = 0.0, seed: int = 0, dtype: str = "float32") -> NDArray[Any]:
    return (np.random.default_rng(seed).standard_normal(shape) + mean).astype(dtype)


def keras_layers(x: Any, scale: NDArray[Any], offset: NDArray[Any], policy: str) -> Any:
    norm = keras.layers.GroupNormalization(groups=-1, epsilon=EPSILON, dtype=policy)
    norm.build(x.shape)
    norm.set_weights([scale, offset])
    return keras.layers.LeakyReLU(negative_slope=LEAK, dtype=policy)(norm(x))


def with_gradients(unit: Callable[..., Any], upstream: Any, *inputs: Any) -> list[NDArray[np.float64]]:
    given = [tf.constant(value) for value in inputs]
    with tf.GradientTape() as tape:
        tape.watch(given)
        output = unit(*given)
    found = [output, *tape.gradient(output, given, output_gradients=tf.cast(upstream, output.dtype))]
    return [np.asarray(tf.cast(value, tf.float64)) for value in found]


def plain(x: Any, scale: Any, offset: Any) -> Any:
    """Return the definition, which TensorFlow differentiates operation by operation."""
    mean, variance = tf.nn.moments(x, axes=range(1, len(x.shape) - 1), keepdims=True)
    normed = (x - mean) / tf.sqrt(variance + EPSILON) * scale + offset
    return tf.where(normed > 0, normed, LEAK * normed)


def fused(x: Any, scale: Any, offset: Any) -> Any:
    return norm_and_leaky_relu(x, scale, offset, epsilon=EPSILON, slope=LEAK)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_output_and_all_gradients_are_those_of_the_definition(shape: tuple[int, ...]) -> None:
    inputs = [values(*shape, mean=1), values(shape[-1], mean=1, seed=1), values(shape[-1], seed=2)]
    upstream = values(*shape, seed=3)
    exact = with_gradients(plain, upstream, *[value.astype("float64") for value in inputs])
    for found, expected in zip(with_gradients(fused, upstream, *inputs), exact, strict=True):
        assert abs(found - expected).max() <= 1e-5 * max(1.0, abs(expected).max())


def test_the_gradient_is_the_limit_of_finite_differences() -> None:
    inputs = [values(2, 3, 2, 1, dtype="float64"), values(1, mean=1, dtype="float64"), values(1, dtype="float64")]
    weights = values(2, 3, 2, 1, seed=5, dtype="float64")
    for analytic, numeric in zip(
        *tf.test.compute_gradient(lambda *given: fused(*given) * weights, inputs, delta=1e-6), strict=True
    ):
        np.testing.assert_allclose(analytic, numeric, atol=1e-6)


def test_the_layer_equals_the_two_layers_of_keras_in_float32_and_in_bfloat16() -> None:
    scale, offset = values(8, mean=1, seed=1), values(8, seed=2)
    for policy, dtype, tolerance in (("float32", "float32", 1e-5), ("mixed_bfloat16", "bfloat16", 2e-2)):
        x = tf.cast(values(2, 16, 8, 8, mean=2), dtype)
        layer = FusedInstanceNorm(negative_slope=LEAK, epsilon=EPSILON, dtype=policy)
        layer.build(x.shape)
        layer.set_weights([scale, offset])
        found, expected = layer(x), keras_layers(x, scale, offset, policy)
        assert found.dtype == expected.dtype == dtype
        np.testing.assert_allclose(tf.cast(found, "float32"), tf.cast(expected, "float32"), atol=tolerance)


def test_a_mean_far_above_the_deviation_does_not_spoil_the_variance() -> None:
    x, one, zero = values(1, 8, 16, 4, mean=1000), np.ones(4, dtype="float32"), np.zeros(4, dtype="float32")
    np.testing.assert_allclose(fused(x, one, zero), plain(x.astype("float64"), 1.0, 0.0), atol=1e-3)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_fused_network_has_the_weights_and_logits_of_the_plain_one(dimensions: int) -> None:
    """Training on a CPU uses the fused network, and the saved model is the plain one."""
    settings = {"dimensions": dimensions, "channels": 2, "regions": 3, "filters": (4, 8), "stem": 1, "seed": 0}
    ordinary, quick = region_unet(**settings), region_unet(**settings, fused=True)
    assert [weight.path.split("/")[-2:] for weight in ordinary.weights] == [
        weight.path.split("/")[-2:] for weight in quick.weights
    ]
    quick.set_weights([value + 0.1 * values(*value.shape) for value in ordinary.get_weights()])
    ordinary.set_weights(quick.get_weights())
    x = values(1, *(8,) * dimensions, 2)
    np.testing.assert_allclose(quick(x), ordinary(x), atol=1e-4)
