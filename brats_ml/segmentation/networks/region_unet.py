"""The U-Net of the region recipes, in 2D or 3D."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from brats_ml.segmentation.networks.sliced_convolution import BlockwiseConv3DTranspose, SlicedConv3D

CONVOLUTION = {2: layers.Conv2D, 3: layers.Conv3D}
TRANSPOSED = {2: layers.Conv2DTranspose, 3: layers.Conv3DTranspose}
SLICED = {layers.Conv3D: SlicedConv3D, layers.Conv3DTranspose: BlockwiseConv3DTranspose}
LEAK = 0.01
EPSILON = 1e-5


def region_unet(
    *,
    dimensions: int,
    channels: int,
    regions: int,
    filters: Sequence[int],
    stem: int,
    seed: int,
    dtype: str = "float32",
    extent: Sequence[int] | None = None,
    sliced: bool = False,
    fused: bool = False,
) -> keras.Model:
    """Return an untrained U-Net that gives every voxel one logit per region.

    Each level has two convolutions, each followed by instance norm and a leaky ReLU. Kernels are 3 voxels wide, and the
    very first one is 3 * stem voxels wide. Strided convolutions lead down, and transposed ones lead up. Skip
    connections concatenate. With a stem of 2 the first level works at half the resolution, which costs an eighth in
    3D. The last layer restores full resolution.

    Args:
        dimensions: The number of spatial axes, 2 or 3.
        channels: The number of input channels.
        regions: The number of regions.
        filters: The filters of each level from the top down.
        stem: The stride of the first level along each axis, 1 or 2.
        seed: The seed of the initial weights.
        dtype: The dtype policy of Keras, `float32` or `mixed_bfloat16`. Logits are float32 in both cases.
        extent: The spatial shape of the input, or None for any. Each axis must be a multiple of `RegionsRecipe.stride`.
        sliced: Whether to compute 3D convolutions as 2D ones, which XLA runs faster on GPUs. This needs the extent and
            leaves the weights the same.
        fused: Whether to compute instance norm and leaky ReLU as one operation, which TensorFlow runs faster on CPUs.
            This leaves the weights the same.

    Returns:
        A model from (batch, *extent, channels) to logits (batch, *extent, regions).

    Source:
        Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z, for the blocks. Instance norm is group norm
        with one channel per group (Wu and He 2018, arXiv:1803.08494).
    """
    seeds = iter(range(seed * 1000, seed * 1000 + 1000))

    def convolution(kind: dict[int, Any], width: int, kernel: int, stride: int, name: str, **more: Any) -> layers.Layer:
        initial = keras.initializers.HeNormal(seed=next(seeds))
        layer = SLICED.get(kind[dimensions], kind[dimensions]) if sliced else kind[dimensions]
        return layer(width, kernel, strides=stride, padding="same", kernel_initializer=initial, name=name, **more)

    def unit(x: keras.KerasTensor, width: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
        x = convolution(CONVOLUTION, width, kernel, stride, name, use_bias=False, dtype=dtype)(x)
        if fused:
            return _fused_norm()(negative_slope=LEAK, epsilon=EPSILON, dtype=dtype, name=f"{name}_norm")(x)
        x = layers.GroupNormalization(groups=-1, epsilon=EPSILON, dtype=dtype, name=f"{name}_norm")(x)
        return layers.LeakyReLU(negative_slope=LEAK, dtype=dtype, name=f"{name}_act")(x)

    inputs = keras.Input((*(extent or (None,) * dimensions), channels), name="patches")
    x, skips = inputs, []
    for level, width in enumerate(filters):
        kernel, stride = (3 * stem, stem) if level == 0 else (3, 2)
        x = unit(x, width, kernel, stride, f"down{level}_first")
        x = unit(x, width, 3, 1, f"down{level}_second")
        skips.append(x)
    for level in reversed(range(len(filters) - 1)):
        x = convolution(TRANSPOSED, filters[level], 2, 2, f"up{level}_size", dtype=dtype)(x)
        x = layers.Concatenate(dtype=dtype, name=f"up{level}_join")([skips[level], x])
        x = unit(x, filters[level], 3, 1, f"up{level}_first")
        x = unit(x, filters[level], 3, 1, f"up{level}_second")
    outputs = convolution(TRANSPOSED, regions, stem, stem, "logits", dtype="float32")(x)
    return keras.Model(inputs, outputs, name=f"region_unet{dimensions}d")


def _fused_norm() -> type[layers.Layer]:
    from brats_ml.segmentation.networks.fused_norm import FusedInstanceNorm  # it needs TensorFlow

    return FusedInstanceNorm
