"""The sections on segmentation: how recipes are trained and what their evaluation shows."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from brats_ml.config.section import Count, Fraction, Name, Section


class Plan(Section):
    """What `brats plan` derives patches, batches and depths from."""

    memory_share: Fraction
    cpu_voxels: Annotated[int, Field(ge=4096)]


class Train(Section):
    """Which recipes are trained, how repeatably, and with which resources.

    Attributes:
        recipes: Sections of `recipes`.
        seed: Of weights, order and augmentation.
        deterministic: Whether every run gives the same weights.
        precision: Of the region recipes' convolutions.
        xla: Whether the step is compiled by XLA.
        device: What trains; `auto` takes GPUs where there are any.
        devices: How many of them share a batch; None: all GPUs, or the one CPU.
        residence: Where the training set lies: on the device, in memory, or mapped from disk.
        checkpoint_minutes: Time between two checkpoints.
        folds: Networks of a recipe, each trained without another part of the training patients; their mean predicts.
            0 trains one on all of them.
    """

    recipes: Annotated[list[Name], Field(min_length=1)]
    seed: Annotated[int, Field(ge=0)]
    deterministic: bool
    precision: Literal["float32", "bfloat16"]
    xla: bool
    device: Literal["auto", "cpu", "gpu"]
    devices: Count | None
    residence: Literal["auto", "device", "host", "mapped"]
    checkpoint_minutes: Annotated[float, Field(gt=0)]
    folds: Annotated[int, Field(ge=0, le=20)]

    @model_validator(mode="after")
    def _one_fold_is_none(self) -> Self:
        if self.folds == 1:
            raise ValueError("folds must be 0, for one network of all training cases, or at least 2")
        return self


PresetName = Literal["fast", "balanced", "best"]


class Evaluate(Section):
    """How held-out and unseen cases are predicted, and what the evaluation shows.

    Attributes:
        preset: Sizes of windows, their overlap and mirrored copies; of region recipes alone.
        window: Voxels that a network of regions sees at once; None: what the preset averages over.
        runtime: What runs the network; `auto` takes OpenVINO on CPUs where it is installed, else Keras.
        precision: Of OpenVINO's inner layers; `auto` takes bfloat16 for networks that `brats precision` let pass.
        tuned_on: Training cases that the rules of postprocessing are chosen on; 0 leaves them as they are.
        figures: Cases that get the six-panel figure.
    """

    preset: PresetName
    window: Annotated[list[Count], Field(min_length=2, max_length=3)] | None
    runtime: Literal["auto", "keras", "openvino"]
    precision: Literal["float32", "bfloat16", "auto"]
    tuned_on: Annotated[int, Field(ge=0)]
    figures: Annotated[int, Field(ge=0)]
