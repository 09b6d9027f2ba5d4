"""Progress of a region recipe's training, for the log and MLflow."""

import time
from collections.abc import Sequence

import keras
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

from brats_ml.adapters.tracking.runs import Curves
from brats_ml.cohort.labels import LabelSet
from brats_ml.config.recipes import RegionsRecipe
from brats_ml.reports.panels import six_panels
from brats_ml.segmentation.training.patches import Inputs
from brats_ml.segmentation.training.regions import Row
from brats_ml.workspace.outputs import training_picture

# Pictures of one training, at even intervals.
PICTURES = 8


class TrainingLog:
    """Logs one line and one point of each curve an epoch, and from time to time a picture."""

    def __init__(
        self, recipe: RegionsRecipe, tracked: Curves, validation: Sequence[Inputs], label_set: LabelSet
    ) -> None:
        """Keep the recipe, the MLflow run, the first validation batch to draw, and its label set."""
        self._recipe, self._tracked, self._drawn, self._label_set = recipe, tracked, validation[:1], label_set
        self._console, self._since = Console(stderr=True), time.monotonic()

    def __call__(self, model: keras.Model, rows: Sequence[Row]) -> None:
        """Log the last row."""
        row, now = rows[-1], time.monotonic()
        seen = self._recipe.epoch_steps * (self._recipe.batch or 1)
        rate, self._since = seen / (now - self._since), now
        self._tracked.log_metrics([{**row, "patches_per_second": rate}], step="epoch")
        held_out = f", validation loss {row['val_loss']:.4f}" if "val_loss" in row else ""
        done = f"epoch {row['epoch']:.0f}/{self._recipe.epochs}: loss {row['loss']:.4f}{held_out}, {rate:.1f} patches/s"
        self._console.print(done, highlight=False)
        if row["epoch"] % max(1, self._recipe.epochs // PICTURES) == 0:
            for inputs in self._drawn:
                figure = picture(model, inputs, self._label_set, title=f"epoch {row['epoch']:.0f}, one patch")
                self._tracked.log_figure(figure, training_picture(row["epoch"]))


def picture(model: keras.Model, inputs: Inputs, label_set: LabelSet, *, title: str) -> Figure:
    """Draw the first modality, the reference and the prediction of the first patch of a batch."""
    logits = np.asarray(keras.ops.convert_to_numpy(model(inputs, training=False)["logits"][0]))
    image, reference = inputs["image"][0].astype(np.float32)[..., 0], inputs["labels"][0]
    labels = np.zeros(logits.shape[:-1], dtype=np.uint8)
    for label, inside in zip(label_set.remainders.values(), np.moveaxis(logits > 0, -1, 0), strict=True):
        labels[inside] = label_set.labels[label]
    if labels.ndim == 2:  # the network saw the neighbours of a slice, but the picture shows the slice only
        middle = reference.shape[-1] // 2
        image, reference, labels = image[..., [middle]], reference[..., [middle]], labels[..., None]
    return six_panels(image, reference, labels, title=title, labels=label_set.labels)
