"""Functions to count the operations of a training step, and to measure how many a machine computes per second.

A multiplication with its addition counts as two operations, and only convolutions count. A training step computes each
convolution three times: forward, for the gradient to its inputs and for the gradient to its weights. The gradient to
the patches themselves is not computed, so the first convolution counts two times.
"""

import math
import time
from collections.abc import Callable

import keras
from keras import ops


def step_flops(network: keras.Model) -> float:
    """Return the operations of a training step for one sample; the network must know the extent of its input."""
    convolutions = convolution_flops(network)
    return 3 * sum(convolutions) - convolutions[0]


def convolution_flops(network: keras.Model) -> list[float]:
    """Return the operations of each convolution in the forward pass of one sample, from the first to the last."""
    found = []
    for layer in network.layers:
        if hasattr(layer, "kernel_size"):
            # A kernel is applied once per output voxel, a transposed kernel once per input voxel.
            is_transposed = "Transpose" in type(layer).__name__
            shape = layer.input.shape[1:-1] if is_transposed else layer.output.shape[1:-1]
            found.append(2.0 * math.prod(layer.kernel.shape) * math.prod(shape))
    return found


def matrix_products(size: int, *, dtype: str, repeats: int, xla: bool) -> Callable[[], float]:
    """Return a function that computes products of square matrices and returns their operations per second."""
    one = ops.cast(keras.random.normal((size, size), seed=0) / math.sqrt(size), dtype)

    def products(matrix: object) -> object:
        return ops.sum(ops.cast(ops.fori_loop(0, repeats, lambda _, x: ops.matmul(x, matrix), matrix), "float32"))

    if keras.backend.backend() == "jax":
        import jax  # only one of the backends is installed

        compiled = jax.jit(products)
    else:
        import tensorflow as tf

        compiled = tf.function(products, jit_compile=xla)
    float(compiled(one))

    def rate() -> float:
        begun = time.perf_counter()
        float(compiled(one))
        return 2 * size**3 * repeats / (time.perf_counter() - begun)

    return rate
