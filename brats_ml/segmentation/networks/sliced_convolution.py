"""Compute 3D convolutions as 2D ones, which XLA runs several times faster on GPUs.

XLA has no fast kernel for 3D convolutions in bfloat16 with channels last. On an H100 a training step of a 3D network
reached 1.5 % of the rate of a matrix product, and the same network in 2D reached 18 %. The layers below therefore fold
the first axis into the batch and turn the kernel's taps along that axis into channels. Weights and results are the
same.
"""

from typing import Any

from keras import layers, ops


class SlicedConv3D(layers.Conv3D):  # type: ignore[misc]  # Keras declares no types
    """A `Conv3D` with `same` padding and no bias; the extent of its inputs is known and a multiple of the stride."""

    def call(self, inputs: Any) -> Any:
        """Return the convolution of (batch, X, Y, Z, channel)."""
        width, step = self.kernel_size[0], self.strides[0]
        margin = width - step
        padded = ops.pad(inputs, [(0, 0), (margin // 2, margin - margin // 2), (0, 0), (0, 0), (0, 0)])
        count = inputs.shape[1] // step
        taps = [padded[:, at : at + step * (count - 1) + 1 : step] for at in range(width)]
        slices = ops.reshape(ops.concatenate(taps, axis=-1), (-1, *inputs.shape[2:4], width * inputs.shape[4]))
        kernel = ops.transpose(self.kernel, (1, 2, 0, 3, 4))
        kernel = ops.reshape(kernel, (*self.kernel_size[1:], width * inputs.shape[4], self.filters))
        output = ops.conv(slices, kernel, strides=self.strides[1:], padding="same", data_format="channels_last")
        return ops.reshape(output, (-1, count, *output.shape[1:]))


class BlockwiseConv3DTranspose(layers.Conv3DTranspose):  # type: ignore[misc]  # Keras declares no types
    """A `Conv3DTranspose` with a kernel as wide as its stride.

    Blocks of output voxels then do not overlap, so one product computes them all.
    """

    def call(self, inputs: Any) -> Any:
        """Return the transposed convolution of (batch, X, Y, Z, channel)."""
        blocks = ops.einsum("bxyzi,pqroi->bxpyqzro", inputs, ops.convert_to_tensor(self.kernel))
        extent = [size * step for size, step in zip(inputs.shape[1:4], self.strides, strict=True)]
        return ops.reshape(blocks, (-1, *extent, self.filters)) + ops.convert_to_tensor(self.bias)
