"""Recipes: each is a way to train a segmentation network, and its `method` selects the class here."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from brats_ml.cohort.modalities import MODALITIES, Modality
from brats_ml.config.section import Count, Fraction, Name, Section

Modalities = Annotated[list[Modality], Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0)]


Method = Literal["baseline", "ensemble", "regions"]


class Slices(Section):
    """The axial slices that a 2D recipe uses: `count` of them from `first`; a null `count` means all that follow."""

    first: Annotated[int, Field(ge=0)]
    count: Count | None


class Plateau(Section):
    """The learning rate falls by `factor` after `patience` epochs without a lower validation loss."""

    factor: Fraction
    patience: Annotated[int, Field(ge=0)]
    minimum: Annotated[float, Field(ge=0)]


class BaselineRecipe(Section):
    """The baseline: resized axial slices, softmax over labels, one case per step."""

    method: Literal["baseline"]
    modalities: Modalities
    size: Annotated[int, Field(ge=16)]
    slices: Slices
    filters: Annotated[list[Count], Field(min_length=2)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    plateau: Plateau
    epochs: Count

    @property
    def left_open(self) -> list[str]:
        """Keys that `brats plan` fills in: none."""
        return []

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        return len(self.modalities)

    @model_validator(mode="after")
    def _size_can_be_halved(self) -> Self:
        step = 2 ** (len(self.filters) - 1)
        if self.size % step:
            raise ValueError(f"size must be a multiple of {step}, since {len(self.filters)} levels halve it")
        return self


class Optimizer(Section):
    """AdamW: the highest learning rate, the weight decay, and the largest norm of a gradient."""

    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Amount
    clip_norm: Annotated[float, Field(gt=0)]


class Schedule(Section):
    """How the learning rate rises over `warm_up_steps` and falls to 0 at the last step."""

    shape: Literal["polynomial", "cosine"]
    power: Annotated[float, Field(gt=0)]
    warm_up_steps: Annotated[int, Field(ge=0)]


class Augmentation(Section):
    """Random changes of each patch; the value 0 turns one off.

    Attributes:
        flip: Spatial axes that are mirrored with probability one half.
        rotate_degrees: Largest rotation in the axial plane.
        zoom: Largest relative change of size in the axial plane.
        spatial_share: Share of the patches that are rotated and zoomed.
        scale: Largest relative change of each modality's contrast.
        shift: Largest change of each modality's mean, in standard deviations.
        gamma: Largest change of the logarithm of gamma, in half of the patches and modalities.
        noise: Largest standard deviation of added noise.
        drop_modalities: Share of the patches that lose some modalities, never all. A model trained with it scores cases
            that lack modalities.
    """

    flip: list[Annotated[int, Field(ge=0, le=2)]]
    rotate_degrees: Annotated[float, Field(ge=0, le=180)]
    zoom: Annotated[float, Field(ge=0, lt=1)]
    spatial_share: Share
    scale: Annotated[float, Field(ge=0, lt=1)]
    shift: Amount
    gamma: Amount
    noise: Amount
    drop_modalities: Share = 0.0  # recipe.json of an older model lacks the key


class RegionsRecipe(Section):
    """Our method: patches at full resolution, one sigmoid per region. `brats plan` chooses a value for each null."""

    method: Literal["regions"]
    dimensions: Literal[2, 3]
    modalities: Modalities
    contralateral: bool = False  # recipe.json of an older model lacks the key
    neighbours: Annotated[int, Field(ge=0, le=8)]
    patch: Annotated[list[Annotated[int, Field(ge=16)]], Field(min_length=2, max_length=3)] | None
    batch: Count | None
    filters: Annotated[list[Count], Field(min_length=2)] | None
    stem: Literal[1, 2]
    epochs: Count
    epoch_steps: Count
    foreground: Share
    batch_dice: bool
    optimizer: Optimizer
    schedule: Schedule
    ema: Annotated[float, Field(gt=0, lt=1)] | None
    augmentation: Augmentation

    @model_validator(mode="after")
    def _fits_its_dimensions(self) -> Self:
        if self.patch is not None and len(self.patch) != self.dimensions:
            raise ValueError(f"patch has {len(self.patch)} axes, dimensions is {self.dimensions}")
        if self.dimensions == 3 and self.neighbours:
            raise ValueError("neighbours are slices next to a 2D patch; set it to 0 in a 3D recipe")
        return self

    @model_validator(mode="after")
    def _patch_can_be_halved(self) -> Self:
        if self.patch is not None and any(size % self.stride for size in self.patch):
            raise ValueError(f"patch must have multiples of {self.stride}, since the network halves it so often")
        return self

    @property
    def left_open(self) -> list[str]:
        """Keys that `brats plan` fills in."""
        return [key for key in ("patch", "batch", "filters") if getattr(self, key) is None]

    @property
    def stride(self) -> int:
        """Each axis of a patch is a multiple of this; 1 while the filters are null."""
        return 1 if self.filters is None else int(self.stem * 2 ** (len(self.filters) - 1))

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        return len(self.modalities) * (1 + self.contralateral) * (1 + 2 * self.neighbours)


class EnsembleRecipe(Section):
    """Region recipes that differ, each trained for this model alone; the mean of their probabilities counts."""

    method: Literal["ensemble"]
    members: Annotated[dict[Name, RegionsRecipe], Field(min_length=2)]

    @property
    def left_open(self) -> list[str]:
        """Keys that `brats plan` fills in."""
        return [f"members.{name}.{key}" for name, member in self.members.items() for key in member.left_open]

    @property
    def modalities(self) -> list[Modality]:
        """The modalities that any member reads."""
        read = {modality for member in self.members.values() for modality in member.modalities}
        return [modality for modality in MODALITIES if modality in read]

    @property
    def epochs(self) -> int:
        """The epochs of all members together."""
        return sum(member.epochs for member in self.members.values())


Recipe = Annotated[BaselineRecipe | EnsembleRecipe | RegionsRecipe, Field(discriminator="method")]
