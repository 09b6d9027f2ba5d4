"""Augment patches inside the compiled training step.

All operations are those of Keras, so they run on both backends. The random numbers come in as `draws`, a function of
seed and step. The noise of voxels is read from a bank that depends on the seed alone, at a place that `draws` chooses.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

# The columns of `draws`: 0-2 mirroring along each axis; 3 whether to rotate and zoom; 4 the angle; 5 the zoom; 6 the
# noise; 7 the modalities to drop. From 8 on, each of up to four modalities has four: contrast, mean, whether to apply
# gamma, and gamma. 24 and 25: the first row of noise, and the step from each row to the next.
MIRROR, SPATIAL, TURN, ZOOM, NOISE, DROP, MODALITY, ROW, STRIDE = 0, 3, 4, 5, 6, 7, 8, 24, 25
# Gamma acts on intensities in [0, 1]. Normalised ones range over about [-3, 4], so they are mapped there and back.
GAMMA_LOW, GAMMA_RANGE = -3.0, 7.0
# The numbers in the bank of noise, 16 MB, and the most of them in one row.
BANK, LONGEST_ROW = 2**22, 8192


class NoiseBank(keras.layers.Layer):  # type: ignore[misc]  # Keras declares no types
    """Normal random numbers, made once, since making new ones in each step takes longer than all other augmentation.

    The bank is a number of rows, which the numbers of a patch fill one after the other. Each patch starts with a row of
    its own and goes on by a step of its own, so the same rows follow each other in few patches only.
    """

    def __init__(self, seed: int) -> None:
        """Make the numbers from the seed."""
        super().__init__(name="noise_bank", trainable=False)
        self._values = self.add_weight(shape=(BANK,), trainable=False, name="values", initializer="zeros")
        self._values.assign(np.random.default_rng(seed).standard_normal(BANK, dtype=np.float32))
        self.built = True

    def call(self, image: Any, draws: Any) -> Any:
        """Return noise for patches (batch, X, Y[, Z], channel), of the same shape."""
        extent = tuple(image.shape[1:])
        first = next(axis for axis in range(len(extent)) if np.prod(extent[axis:]) <= LONGEST_ROW)
        length = int(np.prod(extent[first:]))
        # With a prime number of rows, each step reaches all rows before it comes back.
        rows = next(count for count in range(BANK // length, 0, -1) if _is_prime(count))
        bank = ops.reshape(ops.convert_to_tensor(self._values)[: rows * length], (rows, length))
        start = ops.cast(draws[:, ROW : ROW + 1] * rows, "int32")
        step = 1 + ops.cast(draws[:, STRIDE : STRIDE + 1] * (rows - 1), "int32")
        picked = (start + step * np.arange(np.prod(extent[:first]), dtype=np.int32)) % rows
        return ops.reshape(ops.take(bank, picked, axis=0), (-1, *extent))


def mirrored(image: Any, labels: Any, draws: Any, *, axes: Sequence[int]) -> tuple[Any, Any]:
    """Return patches, each mirrored along each of the `axes` with probability one half.

    Args:
        image: Shape (batch, X, Y[, Z], channel).
        labels: Shape (batch, X, Y[, Z]).
        draws: Random numbers, shape (batch, DRAWS).
        axes: Spatial axes; 0 is X.
    """
    for axis in axes:
        flip = ops.less(draws[:, MIRROR + axis], 0.5)
        image = ops.where(_broadcast(flip, image), ops.flip(image, axis=axis + 1), image)
        labels = ops.where(_broadcast(flip, labels), ops.flip(labels, axis=axis + 1), labels)
    return image, labels


def some_rotated_and_zoomed(image: Any, labels: Any, draws: Any, *, share: float, **most: float) -> tuple[Any, Any]:
    """Return the same as `rotate_and_zoom`, which reads and writes only the patches that change.

    The number of these differs from step to step, so this needs TensorFlow without XLA.
    """
    moving = ops.nonzero(ops.less(draws[:, SPATIAL], share))[0]
    chosen = [ops.take(values, moving, axis=0) for values in (image, labels, draws)]
    for values, of in zip(chosen, (image, labels, draws), strict=True):
        values.set_shape((None, *of.shape[1:]))
    moved = rotate_and_zoom(*chosen, share=share, **most)
    image, labels = (
        ops.scatter_update(values, moving[:, None], new) for values, new in zip((image, labels), moved, strict=True)
    )
    return image, labels


def rotate_and_zoom(
    image: Any, labels: Any, draws: Any, *, degrees: float, zoom: float, share: float
) -> tuple[Any, Any]:
    """Return patches after rotating and zooming a share of them in the plane of X and Y.

    Intensities are interpolated linearly, and labels by nearest neighbour. Voxels from beyond the edge are 0.

    Args:
        image: Shape (batch, X, Y[, Z], channel).
        labels: Shape (batch, X, Y[, Z]).
        draws: Random numbers, shape (batch, DRAWS).
        degrees: The largest angle in degrees.
        zoom: The largest relative change of size.
        share: The expected share of patches that change.
    """
    rows, columns = int(image.shape[1]), int(image.shape[2])
    on = ops.cast(ops.less(draws[:, SPATIAL], share), "float32")
    angle = on * (2.0 * draws[:, TURN] - 1.0) * np.float32(np.deg2rad(degrees))
    size = 1.0 + on * (2.0 * draws[:, ZOOM] - 1.0) * zoom
    cosine, sine = ops.cos(angle) / size, ops.sin(angle) / size
    middle_x, middle_y = (columns - 1) / 2.0, (rows - 1) / 2.0
    zero = ops.zeros_like(angle)
    transform = ops.stack(
        [
            cosine,
            -sine,
            middle_x - cosine * middle_x + sine * middle_y,
            sine,
            cosine,
            middle_y - sine * middle_x - cosine * middle_y,
            zero,
            zero,
        ],
        axis=-1,
    )
    flat = _flat(image)
    moved = ops.image.affine_transform(flat, transform, interpolation="bilinear", data_format="channels_last")
    flat_labels = _flat(ops.cast(labels, "float32")[..., None])
    moved_labels = ops.image.affine_transform(
        flat_labels, transform, interpolation="nearest", data_format="channels_last"
    )
    return ops.reshape(moved, ops.shape(image)), ops.cast(ops.reshape(moved_labels, ops.shape(labels)), labels.dtype)


def jitter_intensity(
    image: Any, draws: Any, noise: Any, *, modalities: int, scale: float, shift: float, gamma: float
) -> Any:
    """Return patches with changed contrast, mean and gamma, and with added noise; voxels outside the brain stay 0.

    Args:
        image: Normalised intensities, shape (batch, X, Y[, Z], channel), 0 outside the brain. The channels are the
            modalities, possibly repeated for the other side of the brain and for neighbouring slices.
        draws: Random numbers, shape (batch, DRAWS).
        noise: Noise of the largest deviation, of the same shape as the image, or None. Each patch gets a part of it.
        modalities: The number of modalities, up to four.
        scale: The largest relative change of each modality's contrast.
        shift: The largest change of each modality's mean.
        gamma: The largest change of the logarithm of gamma, in half of the modalities.
    """
    channels = int(image.shape[-1])
    brain = ops.cast(ops.not_equal(image, 0.0), image.dtype)

    def signed(kind: int) -> Any:
        columns = [MODALITY + 4 * (channel % modalities) + kind for channel in range(channels)]
        picked = ops.stack([draws[:, column] for column in columns], axis=-1)
        return ops.reshape(2.0 * picked - 1.0, (-1, *(1,) * (len(image.shape) - 2), channels))

    changed = image * (1.0 + scale * signed(0)) + shift * signed(1)
    if gamma:
        power = ops.exp(gamma * signed(3) * ops.cast(ops.greater(signed(2), 0.0), image.dtype))
        unit = ops.maximum((changed - GAMMA_LOW) / GAMMA_RANGE, 1e-3)
        changed = ops.exp(ops.log(unit) * power) * GAMMA_RANGE + GAMMA_LOW
    if noise is not None:
        changed = changed + ops.reshape(draws[:, NOISE], (-1, *(1,) * (len(image.shape) - 1))) * noise
    return changed * brain


def drop_modalities(image: Any, draws: Any, *, modalities: int, share: float) -> Any:
    """Return patches, a share of which has lost some modalities: all their channels are 0.

    Each combination that keeps at least one modality is equally likely. A patch of one modality loses nothing.

    Args:
        image: Shape (batch, X, Y[, Z], channel), with channels as in `jitter_intensity`.
        draws: Random numbers, shape (batch, DRAWS).
        modalities: The number of modalities, up to four.
        share: The expected share of patches that lose some.
    """
    channels = int(image.shape[-1])
    # Bit m of a row's number says whether modality m is kept. The last row keeps all, and no row keeps none.
    kept = [[(row >> (channel % modalities)) & 1 for channel in range(channels)] for row in range(1, 2**modalities)]
    everything = len(kept) - 1
    row = ops.cast(ops.minimum(draws[:, DROP] * (everything / share), everything), "int32")
    keep = ops.take(ops.convert_to_tensor(np.array(kept, dtype=np.float32)), row, axis=0)
    return image * ops.cast(ops.reshape(keep, (-1, *(1,) * (len(image.shape) - 2), channels)), image.dtype)


def _broadcast(condition: Any, like: Any) -> Any:
    return ops.reshape(condition, (-1, *(1,) * (len(like.shape) - 1)))


def _flat(volume: Any) -> Any:
    """Return a volume (batch, X, Y, [Z,] channel) as images (batch, X, Y, everything else)."""
    return ops.reshape(volume, (-1, volume.shape[1], volume.shape[2], int(np.prod(volume.shape[3:]))))


def _is_prime(number: int) -> bool:
    return number < 4 or all(number % divisor for divisor in range(2, math.isqrt(number) + 1))
