"""The 2D U-Net of the baseline."""

from collections.abc import Sequence

import keras
from keras import layers


def unet(*, size: int, channels: int, classes: int, filters: Sequence[int], dropout: float, seed: int) -> keras.Model:
    """Return an untrained U-Net with a softmax over classes.

    Each level has two 3x3 ReLU convolutions. Max-pooling leads down, and upsampling with a 2x2 convolution leads up.
    Skip connections concatenate. Dropout follows the bottleneck only. There are no normalisation layers. Weights start
    He-normal, those of the last layer Glorot-uniform. With filters 32..512 and dropout 0.2 this is the network of the
    baseline, layer by layer.

    Args:
        size: Height and width of a slice, a multiple of 2 ** (levels - 1).
        channels: The number of modalities, which are stacked as channels.
        classes: The number of classes: background and labels.
        filters: The filters of each level from the top down.
        dropout: The share of the bottleneck's activations that training drops.
        seed: The seed of the initial weights and of dropout.

    Returns:
        A model from (batch, size, size, channels) to probabilities (batch, size, size, classes).

    Source:
        Ronneberger et al. 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation, arXiv:1505.04597.
    """
    seeds = iter(range(seed * 1000, seed * 1000 + 1000))

    def convolution(x: keras.KerasTensor, width: int, kernel: int, name: str) -> keras.KerasTensor:
        initial = keras.initializers.HeNormal(seed=next(seeds))
        layer = layers.Conv2D(width, kernel, padding="same", activation="relu", kernel_initializer=initial, name=name)
        return layer(x)

    def double(x: keras.KerasTensor, width: int, name: str) -> keras.KerasTensor:
        return convolution(convolution(x, width, 3, f"{name}_first"), width, 3, f"{name}_second")

    inputs = keras.Input((size, size, channels), name="slices")
    x = inputs
    skips = []
    for level, width in enumerate(filters[:-1]):
        x = double(x, width, f"down{level}")
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
    x = double(x, filters[-1], "bottom")
    x = layers.Dropout(dropout, seed=next(seeds), name="bottom_dropout")(x)
    for level in reversed(range(len(skips))):
        x = layers.UpSampling2D(2, name=f"up{level}_size")(x)
        x = convolution(x, filters[level], 2, f"up{level}_shrink")
        x = layers.Concatenate(name=f"up{level}_join")([skips[level], x])
        x = double(x, filters[level], f"up{level}")
    initial = keras.initializers.GlorotUniform(seed=next(seeds))
    outputs = layers.Conv2D(classes, 1, activation="softmax", kernel_initializer=initial, name="probabilities")(x)
    return keras.Model(inputs, outputs, name="unet")
