"""Keep the training set in memory and cut patches from it.

`cut` works on the host. `ResidentSet` works on the device, inside the compiled step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from brats_ml.cohort.labels import LabelMap
from brats_ml.segmentation.training.sampling import Patches

Inputs = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class TrainingSet:
    """The cases of a training set, in memory or mapped from disk.

    Attributes:
        images: Normalised images in float16, one array (X, Y, Z, channel) per case.
        labels: Canonical label maps, one array (X, Y, Z) per case.
    """

    images: Sequence[NDArray[np.float16]]
    labels: Sequence[LabelMap]

    @property
    def bytes(self) -> int:
        """Size of all arrays in bytes."""
        return sum(array.nbytes for array in self.images) + sum(array.nbytes for array in self.labels)


def cut(cases: TrainingSet, patches: Patches, *, patch: Sequence[int], flip: Sequence[int] = ()) -> Inputs:
    """Return the patches of one step as `image`, `labels` and `draws`; voxels beyond the edge of a case are 0.

    Patches are mirrored as by `augmentation.mirrored` with the axes `flip`. Here that costs no further copy.
    """
    batch, extent = len(patches.case), tuple(patch)
    image = np.zeros((batch, *extent, cases.images[0].shape[-1]), dtype=np.float16)
    labels = np.zeros((batch, *extent), dtype=np.uint8)
    for place, (case, corner, draws) in enumerate(zip(patches.case, patches.corner, patches.draws, strict=True)):
        shape = cases.labels[case].shape
        low, high = np.maximum(corner, 0), np.minimum(corner + extent, shape)
        taken = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        put = tuple(slice(int(a), int(b)) for a, b in zip(low - corner, high - corner, strict=True))
        way = tuple(slice(None, None, -1 if axis in flip and draws[axis] < 0.5 else 1) for axis in range(len(extent)))
        image[place][way][put] = cases.images[case][taken]
        labels[place][way][put] = cases.labels[case][taken]
    return {"image": image, "labels": labels, "draws": patches.draws}


class ResidentSet(keras.layers.Layer):  # type: ignore[misc]  # Keras declares no types
    """The training set in the memory of the device, which also cuts the patches."""

    def __init__(self, cases: TrainingSet, patch: Sequence[int]) -> None:
        """Copy the cases to the device, each padded to the largest case and to at least a patch."""
        super().__init__(name="resident_set", trainable=False)
        self._patch = tuple(patch)
        largest = np.max([labels.shape for labels in cases.labels], axis=0)
        extent = tuple(int(size) for size in np.maximum(largest, patch))
        # A case smaller than a patch is centred in it. The corner is then negative, and this offset brings it to 0.
        offsets = [np.maximum(-((np.array(labels.shape) - patch) // 2), 0) for labels in cases.labels]
        self._images = self._stored("images", (*extent, cases.images[0].shape[-1]), cases.images, offsets, "float16")
        self._labels = self._stored("labels", extent, cases.labels, offsets, "uint8")
        self._offsets = self.add_weight(shape=(len(offsets), 3), dtype="int32", trainable=False, name="offsets")
        self._offsets.assign(np.array(offsets, dtype=np.int32))
        self.built = True

    def _stored(self, name: str, extent: tuple[int, ...], arrays: Any, offsets: Any, dtype: str) -> Any:
        padded = np.zeros((len(arrays), *extent), dtype=dtype)
        for place, (array, offset) in enumerate(zip(arrays, offsets, strict=True)):
            into = tuple(slice(int(a), int(a) + size) for a, size in zip(offset, array.shape[:3], strict=True))
            padded[place][into] = array
        stored = self.add_weight(shape=padded.shape, dtype=dtype, trainable=False, name=name, initializer="zeros")
        stored.assign(padded)
        return stored

    def call(self, case: Any, corner: Any) -> tuple[Any, Any]:
        """Return images (batch, *patch, channel) and labels (batch, *patch) of the patches at `corner` of `case`."""
        first = corner + ops.take(self._offsets, case, axis=0)
        channels = self._images.shape[-1]
        # JAX accepts no variables inside a loop.
        all_images, all_labels = ops.convert_to_tensor(self._images), ops.convert_to_tensor(self._labels)

        def one(place: tuple[Any, Any]) -> tuple[Any, Any]:
            index, at = place
            start = ops.concatenate([ops.reshape(index, (1,)), at, ops.zeros((1,), dtype="int32")])
            image = ops.slice(all_images, start, (1, *self._patch, channels))
            labels = ops.slice(all_labels, start[:4], (1, *self._patch))
            return image[0], labels[0]

        return ops.map(one, (case, first))  # type: ignore[no-any-return]  # Keras declares no types
