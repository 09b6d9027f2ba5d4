"""The U-Net of the region recipes: strided or full-resolution stem, instance norm, one logit a region."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

from brats_ml.segmentation.networks.sliced_convolution import BlockwiseConv3DTranspose, SlicedConv3D

CONVOLUTION = {2: layers.Conv2D, 3: layers.Conv3D}
TRANSPOSED = {2: layers.Conv2DTranspose, 3: layers.Conv3DTranspose}
SLICED = {layers.Conv3D: SlicedConv3D, layers.Conv3DTranspose: BlockwiseConv3DTranspose}
LEAK = 0.01


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
) -> keras.Model:
    """Return an untrained U-Net that gives one logit a region for every voxel.

    Two 3-wide convolutions a level, each with instance norm and a leaky ReLU; strided convolutions down, transposed
    ones up, skip connections by concatenation. A stem of 2 lets the first level work on half the resolution, at an
    eighth of the cost in 3D; the last layer brings it back to full resolution.

    Args:
        dimensions: 2 or 3 spatial axes.
        channels: Of the input.
        regions: Of the output.
        filters: Of each level from the top down.
        stem: Voxels along each axis that the first level takes together.
        seed: Of the initial weights.
        dtype: Keras' dtype policy, `float32` or `mixed_bfloat16`; logits are float32 either way.
        extent: Spatial shape of the input, each a multiple of `RegionsRecipe.stride`; None: any such shape.
        sliced: Compute 3D convolutions as 2D ones, for XLA on GPUs; needs the extent. The weights are the same.

    Returns:
        A model from (batch, *extent, channels) to logits (batch, *extent, regions).

    Source:
        Isensee et al. 2021, nnU-Net, doi:10.1038/s41592-020-01008-z, for the blocks. Instance norm is group norm
        with one channel a group (Wu and He 2018, arXiv:1803.08494).
    """
    seeds = iter(range(seed * 1000, seed * 1000 + 1000))

    def convolution(kind: dict[int, Any], width: int, kernel: int, stride: int, name: str, **more: Any) -> layers.Layer:
        initial = keras.initializers.HeNormal(seed=next(seeds))
        layer = SLICED.get(kind[dimensions], kind[dimensions]) if sliced else kind[dimensions]
        return layer(width, kernel, strides=stride, padding="same", kernel_initializer=initial, name=name, **more)

    def unit(x: keras.KerasTensor, width: int, kernel: int, stride: int, name: str) -> keras.KerasTensor:
        x = convolution(CONVOLUTION, width, kernel, stride, name, use_bias=False, dtype=dtype)(x)
        x = layers.GroupNormalization(groups=-1, epsilon=1e-5, dtype=dtype, name=f"{name}_norm")(x)
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
