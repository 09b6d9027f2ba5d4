"""3D convolutions computed as 2D ones, which XLA runs several times faster on GPUs; weights and results are the same.

XLA finds no fast kernel for 3D convolutions of channels that lie last in bfloat16: on an H100 a step reached 1.5 % of
the rate of a matrix product, and the same network in 2D 18 % (docs/reference/results.md). So the first axis is folded
into the batch, and what a kernel sees along it becomes channels.
"""

from typing import Any

from keras import layers, ops


class SlicedConv3D(layers.Conv3D):  # type: ignore[misc]  # Keras declares no types
    """`Conv3D` with `same` padding, without bias, on inputs of a known extent that its stride divides."""

    def call(self, inputs: Any) -> Any:
        """Return the convolution of (batch, X, Y, Z, channel)."""
        width, step = self.kernel_size[0], self.strides[0]
        beside = width - step
        padded = ops.pad(inputs, [(0, 0), (beside // 2, beside - beside // 2), (0, 0), (0, 0), (0, 0)])
        count = inputs.shape[1] // step
        taps = [padded[:, at : at + step * (count - 1) + 1 : step] for at in range(width)]
        slices = ops.reshape(ops.concatenate(taps, axis=-1), (-1, *inputs.shape[2:4], width * inputs.shape[4]))
        kernel = ops.transpose(self.kernel, (1, 2, 0, 3, 4))
        kernel = ops.reshape(kernel, (*self.kernel_size[1:], width * inputs.shape[4], self.filters))
        made = ops.conv(slices, kernel, strides=self.strides[1:], padding="same", data_format="channels_last")
        return ops.reshape(made, (-1, count, *made.shape[1:]))


class BlockwiseConv3DTranspose(layers.Conv3DTranspose):  # type: ignore[misc]  # Keras declares no types
    """`Conv3DTranspose` whose kernel is as wide as its stride: each voxel makes a block of its own, by one product."""

    def call(self, inputs: Any) -> Any:
        """Return the transposed convolution of (batch, X, Y, Z, channel)."""
        blocks = ops.einsum("bxyzi,pqroi->bxpyqzro", inputs, ops.convert_to_tensor(self.kernel))
        extent = [size * step for size, step in zip(inputs.shape[1:4], self.strides, strict=True)]
        return ops.reshape(blocks, (-1, *extent, self.filters)) + ops.convert_to_tensor(self.bias)
