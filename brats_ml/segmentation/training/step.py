"""One training step of a region recipe as a Keras model: patches, augmentation, network and loss."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import ops

from brats_ml.cohort.labels import GLIOMA, LABEL_SETS, LabelSet
from brats_ml.segmentation.training.augmentation import (
    NoiseBank,
    drop_modalities,
    jitter_intensity,
    mirrored,
    rotate_and_zoom,
    some_rotated_and_zoomed,
)
from brats_ml.segmentation.training.losses import dice_and_cross_entropy, region_targets
from brats_ml.segmentation.training.patches import ResidentSet


class PatchTraining(keras.Model):  # type: ignore[misc]  # Keras declares no types
    """A network together with its augmentation and loss.

    The input is a batch of patches. It holds `image` (batch, X, Y, Z, channel) and `labels` (batch, X, Y, Z), which the
    host has mirrored, or `case` and `corner` of the patches in a resident set. It also holds `draws` (batch, DRAWS),
    the random numbers of the augmentation; and, where something is not known of a case, `known` (batch, region).
    """

    def __init__(
        self,
        network: keras.Model,
        *,
        dimensions: int,
        modalities: int,
        augmentation: Mapping[str, Any],
        batch_dice: bool,
        seed: int,
        resident: ResidentSet | None = None,
        label_set: LabelSet = LABEL_SETS[GLIOMA],
        fused: bool = False,
    ) -> None:
        """Keep the network and the settings of its training.

        Args:
            network: The network to train.
            dimensions: 2 or 3. A 2D network sees slabs of neighbouring slices.
            modalities: The number of modalities.
            augmentation: The values of `config.recipes.Augmentation`.
            batch_dice: Whether Dice is computed over the batch; see `over_batch` of `soft_dice`.
            seed: The seed of the noise.
            resident: The training set on the device, or None if the host cuts the patches.
            label_set: The labels, and the regions that the network predicts.
            fused: Whether TensorFlow trains on a CPU without XLA. Augmentation then moves only the patches that change,
                and XLA compiles the changes of intensity. The results are the same but for rounding.
        """
        super().__init__(name="patch_training")
        self.network, self.resident = network, resident
        self._flat, self._modalities, self._augmentation = dimensions == 2, modalities, dict(augmentation)
        self._batch_dice, self._regions = batch_dice, label_set.region_values
        self.noise = NoiseBank(seed) if self._augmentation.get("noise") else None
        self._move, self._jitter = rotate_and_zoom, jitter_intensity
        if fused:
            self._move, self._jitter = some_rotated_and_zoomed, _by_xla(jitter_intensity)
        self._loss = keras.metrics.Mean(name="loss")
        self._dice = [keras.metrics.Mean(name=f"dice_{region}") for region in label_set.regions]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The loss and the pseudo Dice of each region.

        Pseudo Dice is soft and computed on patches, so it cannot be compared with the Dice of an evaluation.
        """
        return [self._loss, *self._dice]

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        """Return logits (batch, X, Y[, Z], region) and targets of the same shape."""
        if "case" in inputs and self.resident is not None:
            image, labels = self.resident(inputs["case"], inputs["corner"])
            if training:
                image, labels = mirrored(image, labels, inputs["draws"], axes=self._augmentation["flip"])
        else:
            image, labels = inputs["image"], inputs["labels"]
        image = ops.cast(image, "float32")
        if training:
            image, labels = self._augmented(image, labels, inputs["draws"])
        if self._flat:
            image, labels = as_slices(image), labels[:, :, :, labels.shape[3] // 2]
        known = {"known": inputs["known"]} if "known" in inputs else {}
        logits = self.network(image, training=training)
        return {"logits": logits, "targets": region_targets(labels, self._regions), **known}

    def _augmented(self, image: Any, labels: Any, draws: Any) -> tuple[Any, Any]:
        how = self._augmentation
        if how["spatial_share"] and (how["rotate_degrees"] or how["zoom"]):
            image, labels = self._move(
                image, labels, draws, degrees=how["rotate_degrees"], zoom=how["zoom"], share=how["spatial_share"]
            )
        intensity = {name: how[name] for name in ("scale", "shift", "gamma")}
        if self.noise is not None or any(intensity.values()):
            noise = None if self.noise is None else how["noise"] * self.noise(image, draws)
            image = self._jitter(image, draws, noise, modalities=self._modalities, **intensity)
        if how["drop_modalities"]:
            image = drop_modalities(image, draws, modalities=self._modalities, share=how["drop_modalities"])
        return image, labels

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss of `y_pred`, which holds logits and targets, and update the metrics."""
        loss, dice = dice_and_cross_entropy(
            y_pred["targets"], y_pred["logits"], over_batch=self._batch_dice, known=y_pred.get("known")
        )
        count = ops.shape(y_pred["logits"])[0]
        self._loss.update_state(loss, sample_weight=count)
        counts = [count] * len(self._dice)
        if "known" in y_pred:
            counts = ops.unstack(ops.sum(y_pred["known"], axis=0), num=len(self._dice))
        for metric, value, of in zip(self._dice, ops.unstack(dice, num=len(self._dice)), counts, strict=True):
            metric.update_state(value, sample_weight=of)
        return loss


def as_slices(image: Any) -> Any:
    """Return slabs (batch, X, Y, slice, channel) as images (batch, X, Y, slice * channel), slice by slice."""
    return ops.reshape(image, (-1, image.shape[1], image.shape[2], image.shape[3] * image.shape[4]))


def _by_xla(function: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf  # only this backend needs it

    return tf.function(function, jit_compile=True, autograph=False)  # type: ignore[no-any-return]
