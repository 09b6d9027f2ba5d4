"""The sections on segmentation: planning, training and evaluation of recipes."""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from brats_ml.config.section import Count, Fraction, Name, Section
from brats_ml.near_names import check_known


class Plan(Section):
    """Limits from which `brats plan` derives patches, batches and depths."""

    memory_share: Fraction
    cpu_voxels: Annotated[int, Field(ge=4096)]


class Train(Section):
    """The recipes to train, how repeatable training is, and its resources.

    Attributes:
        recipes: Sections of `recipes`.
        seed: Random seed of weights, order and augmentation.
        deterministic: Whether every run gives the same weights.
        precision: Number format of the region recipes' convolutions.
        xla: Whether XLA compiles the step.
        device: The kind of device that trains; `auto` takes GPUs if there are any.
        devices: How many of them share a batch; None takes all GPUs, or the one CPU.
        residence: Where the training set is kept: on the device, in memory, or mapped from disk.
        checkpoint_minutes: Time between two checkpoints.
        folds: How many networks a recipe trains, each without another part of the training patients; their mean
            predicts. 0 trains one network on all training patients.
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
            raise ValueError("folds must be at least 2, or 0 for one network on all training cases")
        return self


PresetName = Literal["fast", "balanced", "best"]
PRESETS: tuple[str, ...] = get_args(PresetName)


def check_preset(name: str) -> None:
    """Refuse a preset that does not exist.

    Raises:
        ConfigError: There is no such preset.
    """
    check_known(name, PRESETS, what="preset", key="--preset")


class Evaluate(Section):
    """How held-out and unseen cases are predicted and shown.

    Attributes:
        preset: Sizes of windows, their overlap and mirrored copies, for region recipes only.
        window: Voxels that a network of regions gets at once; None takes the sizes that the preset averages over.
        runtime: Library that runs the network; `auto` takes OpenVINO on CPUs if it is installed, else Keras.
        precision: Number format of OpenVINO's inner layers; `auto` takes bfloat16 if `brats precision` passed the
            network.
        tuned_on: How many training cases, each predicted by the fold that did not see it, choose the rules of
            postprocessing; 0 keeps the default rules.
        figures: Cases that get the six-panel figure.
        rulers: The challenge with the rules for the official rulers of each case; None leaves them out.
    """

    preset: PresetName
    window: Annotated[list[Count], Field(min_length=2, max_length=3)] | None
    runtime: Literal["auto", "keras", "openvino"]
    precision: Literal["float32", "bfloat16", "auto"]
    tuned_on: Annotated[int, Field(ge=0)]
    figures: Annotated[int, Field(ge=0)]
    rulers: Literal["GLI", "SSA", "MEN", "MET", "PED"] | None
