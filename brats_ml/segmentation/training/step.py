"""One training step of a region recipe as a Keras model: patches in, augmentation, network, loss."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from brats_ml.cohort.labels import REGIONS
from brats_ml.segmentation.training.augmentation import jitter_intensity, mirrored, rotate_and_zoom
from brats_ml.segmentation.training.losses import dice_and_cross_entropy, region_targets
from brats_ml.segmentation.training.patches import ResidentSet


class PatchTraining(keras.Model):  # type: ignore[misc]  # Keras declares no types
    """A network with what happens before and after it in training.

    Its input is a batch of patches: `image` (batch, X, Y, Z, channel) and `labels` (batch, X, Y, Z), or `case` and
    `corner` of patches in a resident set; and `draws` (batch, DRAWS), the random numbers of the augmentation.
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
    ) -> None:
        """Take the network and how it is trained; `augmentation` has the keys of `config.recipes.Augmentation`."""
        super().__init__(name="patch_training")
        self.network, self.resident = network, resident
        self._flat, self._modalities, self._augmentation = dimensions == 2, modalities, dict(augmentation)
        self._batch_dice = batch_dice
        self._noise = keras.random.SeedGenerator(seed)
        self._loss = keras.metrics.Mean(name="loss")
        self._dice = [keras.metrics.Mean(name=f"dice_{region}") for region in REGIONS]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The loss and the pseudo Dice of each region: of patches, soft, and so not comparable with an evaluation."""
        return [self._loss, *self._dice]

    def call(self, inputs: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        """Return logits (batch, X, Y[, Z], region) and the targets that they are held against."""
        if "case" in inputs and self.resident is not None:
            image, labels = self.resident(inputs["case"], inputs["corner"])
        else:
            image, labels = inputs["image"], inputs["labels"]
        image = ops.cast(image, "float32")
        if training:
            image, labels = self._augmented(image, labels, inputs["draws"])
        if self._flat:
            image, labels = as_slices(image), labels[:, :, :, labels.shape[3] // 2]
        return {"logits": self.network(image, training=training), "targets": region_targets(labels)}

    def _augmented(self, image: Any, labels: Any, draws: Any) -> tuple[Any, Any]:
        how = self._augmentation
        image, labels = mirrored(image, labels, draws, axes=how["flip"])
        if how["spatial_share"] and (how["rotate_degrees"] or how["zoom"]):
            image, labels = rotate_and_zoom(
                image, labels, draws, degrees=how["rotate_degrees"], zoom=how["zoom"], share=how["spatial_share"]
            )
        colours = {name: how[name] for name in ("scale", "shift", "gamma", "noise")}
        if any(colours.values()):
            image = jitter_intensity(image, draws, modalities=self._modalities, generator=self._noise, **colours)
        return image, labels

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss of the predictions, which carry their targets, and keep it and the Dice for the logs."""
        loss, dice = dice_and_cross_entropy(y_pred["targets"], y_pred["logits"], over_batch=self._batch_dice)
        count = ops.shape(y_pred["logits"])[0]
        self._loss.update_state(loss, sample_weight=count)
        for metric, value in zip(self._dice, ops.unstack(dice, num=len(self._dice)), strict=True):
            metric.update_state(value, sample_weight=count)
        return loss


def as_slices(image: Any) -> Any:
    """Return slabs (batch, X, Y, slice, channel) as slices (batch, X, Y, slice * channel), slice by slice."""
    return ops.reshape(image, (-1, image.shape[1], image.shape[2], image.shape[3] * image.shape[4]))
