"""Compute instance norm and leaky ReLU as one operation, which trains faster with TensorFlow on CPUs.

TensorFlow computes each as a chain of operations, and every one of them reads and writes the whole feature map. Here
XLA compiles one function for the output and one for the gradient, and each reads the map as often as its sums need.
XLA adds the voxels of a column one after the other. The map is therefore seen as rows of a few voxels, so that a row
fits into registers, and as blocks of rows, which the cores share. Weights and results are those of the two layers.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import layers, ops

# The most numbers in a row, and the most blocks of rows. Times change by less than a tenth from half to twice of each.
ROW = 256
BLOCKS = 16
FEWEST_ROWS = 16


class FusedInstanceNorm(layers.GroupNormalization):  # type: ignore[misc]  # Keras declares no types
    """A `GroupNormalization` with one channel per group, followed by a leaky ReLU."""

    def __init__(self, *, negative_slope: float, **more: Any) -> None:
        """Keep the slope of the leaky ReLU; the other arguments are those of `GroupNormalization`."""
        super().__init__(groups=-1, **more)
        self.negative_slope = negative_slope

    def call(self, inputs: Any) -> Any:
        """Return the activated norm of (batch, ..., channel)."""
        if None in inputs.shape[1:]:
            return ops.leaky_relu(super().call(inputs), negative_slope=self.negative_slope)
        scale, offset = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        return norm_and_leaky_relu(inputs, scale, offset, epsilon=self.epsilon, slope=self.negative_slope)


def norm_and_leaky_relu(x: Any, scale: Any, offset: Any, *, epsilon: float, slope: float) -> Any:
    """Return the leaky ReLU of the instance norm, with a gradient of its own.

    Args:
        x: Shape (batch, ..., channel); only the batch may be unknown. Sums are at least in float32.
        scale: Shape (channel,).
        offset: Shape (channel,).
        epsilon: Added to the variance.
        slope: The slope of the leaky ReLU below 0, between 0 and 1.
    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def unit(x: Any, scale: Any, offset: Any) -> tuple[Any, Callable[[Any], Any]]:
        y, mean, inverse = _forward(x, scale, offset, epsilon, slope)

        def gradient(upstream: Any) -> Any:
            return _backward(x, upstream, scale=scale, offset=offset, mean=mean, inverse=inverse, slope=slope)

        return y, gradient

    return unit(x, scale, offset)


@tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
def _forward(x: Any, scale: Any, offset: Any, epsilon: float, slope: float) -> tuple[Any, Any, Any]:
    """Return the output, and the mean and inverse deviation of each patch and channel, shape (batch, channel)."""
    rows, voxels = _rows(x)
    mean = _sums(rows, x.shape[-1]) / voxels
    variance = _sums(tf.square(rows - _per_row(mean, rows)), x.shape[-1]) / voxels
    inverse = tf.math.rsqrt(variance + epsilon)
    normed = (rows - _per_row(mean, rows)) * _per_row(inverse * scale, rows) + _per_row(offset[None], rows)
    activated = tf.maximum(normed, slope * normed)
    return tf.reshape(tf.cast(activated, x.dtype), tf.shape(x)), mean, inverse


@tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
def _backward(
    x: Any, upstream: Any, *, scale: Any, offset: Any, mean: Any, inverse: Any, slope: float
) -> tuple[Any, Any, Any]:
    """Return the gradients to the input, the scale and the offset."""
    rows, voxels = _rows(x)
    normed = (rows - _per_row(mean, rows)) * _per_row(inverse, rows)
    is_positive = normed * _per_row(scale[None], rows) + _per_row(offset[None], rows) > 0
    passed = _rows(upstream)[0]
    passed = tf.where(is_positive, passed, slope * passed)
    to_offset, to_scale = _sums(passed, x.shape[-1]), _sums(passed * normed, x.shape[-1])
    rest = passed - _per_row(to_offset / voxels, rows) - normed * _per_row(to_scale / voxels, rows)
    to_input = tf.cast(rest * _per_row(inverse * scale, rows), x.dtype)
    return tf.reshape(to_input, tf.shape(x)), tf.reduce_sum(to_scale, axis=0), tf.reduce_sum(to_offset, axis=0)


def _rows(x: Any) -> tuple[Any, int]:
    """Return (batch, ..., channel) as (batch, block, row, voxel * channel) in float32, and the voxels of a patch."""
    voxels, channels = x.shape[1:-1].num_elements(), x.shape[-1]
    width = blocks = 1
    while voxels % (2 * width) == 0 and 2 * width * channels <= ROW:
        width *= 2
    count = voxels // width
    while count % (2 * blocks) == 0 and 2 * blocks <= BLOCKS and count // (2 * blocks) >= FEWEST_ROWS:
        blocks *= 2
    rows = tf.reshape(x, (-1, blocks, count // blocks, width * channels))
    return rows if x.dtype == tf.float64 else tf.cast(rows, tf.float32), voxels


def _sums(rows: Any, channels: int) -> Any:
    """Return the sum over all voxels, shape (batch, channel)."""
    return tf.reduce_sum(tf.reshape(tf.reduce_sum(rows, axis=2), (tf.shape(rows)[0], -1, channels)), axis=1)


def _per_row(values: Any, rows: Any) -> Any:
    """Return values of (batch, channel) or (1, channel) as (batch, 1, 1, voxel * channel)."""
    return tf.tile(values, (1, rows.shape[-1] // values.shape[-1]))[:, None, None]
