"""Translate our Keras networks to OpenVINO graphs, which run fastest on CPUs; weights and operations are the same."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import openvino as ov
from openvino import opset13 as ops

from brats_ml.errors import ModelError

Value = Any  # an output of a node of OpenVINO, which declares no types


def openvino_graph(model: keras.Model, extent: Sequence[int]) -> ov.Model:
    """Return a Keras network as a graph that includes the weights.

    Keras itself exports through TensorFlow, which splits instance norm into reshapes and reductions. OpenVINO does
    not recognise these as a normalisation. Here instance norm becomes one operation.

    Args:
        model: A functional model of the layers that brats_ml uses, channels last.
        extent: The spatial shape of its input.

    Returns:
        A graph from (1, *extent, channel) to the model's output.

    Raises:
        ModelError: A layer has no translation.
    """
    axes = len(extent)
    to_first, to_last = [0, axes + 1, *range(1, axes + 1)], [0, *range(2, axes + 2), 1]
    patches = ops.parameter([1, *extent, model.input_shape[-1]], np.float32, name="patches")
    values: dict[int, Value] = {id(model.inputs[0]): ops.transpose(patches, _constant(to_first, np.int64))}
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        translate = _TRANSLATIONS.get(type(layer))
        if translate is None:
            raise ModelError(f"layer {layer.name} is a {type(layer).__name__}, which has no translation to OpenVINO")
        (node,) = layer._inbound_nodes
        values[id(node.output_tensors[0])] = translate(layer, [values[id(source)] for source in node.input_tensors])
    result = ops.transpose(values[id(model.outputs[0])], _constant(to_last, np.int64))
    return ov.Model([result], [patches], model.name)


def _constant(value: Any, dtype: type = np.float32) -> Value:
    return ops.constant(np.ascontiguousarray(value, dtype=dtype))


def _per_channel(value: Any, axes: int) -> Value:
    return _constant(np.reshape(np.asarray(value), (1, -1, *[1] * axes)))


def _activated(layer: keras.layers.Layer, x: Value) -> Value:
    name = keras.activations.serialize(layer.activation)
    known: dict[str, Callable[[Value], Value]] = {
        "linear": lambda value: value,
        "relu": ops.relu,
        "sigmoid": ops.sigmoid,
        "softmax": lambda value: ops.softmax(value, 1),
    }
    if name not in known:
        raise ModelError(f"layer {layer.name} has activation {name}, which has no translation to OpenVINO")
    return known[name](x)


def _convolution(layer: keras.layers.Layer, inputs: Sequence[Value]) -> Value:
    axes = layer.rank
    none = [0] * axes
    # Keras' kernel is (*extent, in, out), OpenVINO's (out, in, *extent).
    kernel = _constant(np.moveaxis(np.asarray(layer.kernel), (-1, -2), (0, 1)))
    pad = {"same": "same_upper", "valid": "valid"}[layer.padding]
    x = ops.convolution(inputs[0], kernel, list(layer.strides), none, none, list(layer.dilation_rate), auto_pad=pad)
    return _activated(layer, ops.add(x, _per_channel(layer.bias, axes)) if layer.use_bias else x)


def _transposed(layer: keras.layers.Layer, inputs: Sequence[Value]) -> Value:
    axes = layer.rank
    if layer.kernel_size != layer.strides:
        raise ModelError(f"layer {layer.name} has a kernel other than its stride, which has no translation to OpenVINO")
    none = [0] * axes
    # Keras' kernel is (*extent, out, in), OpenVINO's (in, out, *extent).
    kernel = _constant(np.moveaxis(np.asarray(layer.kernel), (-1, -2), (0, 1)))
    x = ops.convolution_backprop_data(
        inputs[0], kernel, strides=list(layer.strides), pads_begin=none, pads_end=none, dilations=[1] * axes
    )
    return _activated(layer, ops.add(x, _per_channel(layer.bias, axes)) if layer.use_bias else x)


def _instance_norm(layer: keras.layers.Layer, inputs: Sequence[Value]) -> Value:
    axes = len(layer.output.shape) - 2
    if layer.groups not in (-1, layer.output.shape[-1]) or not (layer.scale and layer.center):
        raise ModelError(
            f"layer {layer.name} is a group norm of {layer.groups} groups; only instance norm with scale and centre "
            "has a translation to OpenVINO"
        )
    over = _constant(range(2, axes + 2), np.int64)
    x = ops.mvn(inputs[0], over, normalize_variance=True, eps=layer.epsilon, eps_mode="inside_sqrt")
    return ops.add(ops.multiply(x, _per_channel(layer.gamma, axes)), _per_channel(layer.beta, axes))


def _leaky_relu(layer: keras.layers.Layer, inputs: Sequence[Value]) -> Value:
    return ops.prelu(inputs[0], _constant([layer.negative_slope]))


def _pooled(layer: keras.layers.Layer, inputs: Sequence[Value]) -> Value:
    none = [0] * len(layer.pool_size)
    pooled = ops.max_pool(
        inputs[0], list(layer.strides), [1] * len(none), none, none, list(layer.pool_size), "floor", "valid"
    )
    return pooled.output(0)


def _repeated(layer: keras.layers.Layer, inputs: Sequence[Value]) -> Value:
    x = inputs[0]
    for axis, times in enumerate(layer.size):
        length = x.get_shape()[axis + 2] if hasattr(x, "get_shape") else x.shape[axis + 2]
        x = ops.gather(x, _constant(np.repeat(np.arange(length), times), np.int64), _constant(axis + 2, np.int64))
    return x


def _joined(_: keras.layers.Layer, inputs: Sequence[Value]) -> Value:
    return ops.concat(list(inputs), 1)


def _unchanged(_: keras.layers.Layer, inputs: Sequence[Value]) -> Value:
    return inputs[0]


_TRANSLATIONS: dict[type, Callable[[keras.layers.Layer, Sequence[Value]], Value]] = {
    keras.layers.Conv2D: _convolution,
    keras.layers.Conv3D: _convolution,
    keras.layers.Conv2DTranspose: _transposed,
    keras.layers.Conv3DTranspose: _transposed,
    keras.layers.GroupNormalization: _instance_norm,
    keras.layers.LeakyReLU: _leaky_relu,
    keras.layers.MaxPooling2D: _pooled,
    keras.layers.UpSampling2D: _repeated,
    keras.layers.Concatenate: _joined,
    keras.layers.Dropout: _unchanged,
}
