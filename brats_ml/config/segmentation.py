"""The sections on segmentation: recipes, how they are trained and what their evaluation shows."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from brats_ml.cohort.modalities import Modality
from brats_ml.config.section import Count, Fraction, Name, Section


class Train(Section):
    """Which recipes are trained, and how repeatably."""

    recipes: Annotated[list[Name], Field(min_length=1)]
    seed: Annotated[int, Field(ge=0)]
    deterministic: bool


class Slices(Section):
    """The axial slices a 2D recipe sees: `count` of them from `first`, or all that follow."""

    first: Annotated[int, Field(ge=0)]
    count: Count | None


class Plateau(Section):
    """When the learning rate falls: after `patience` epochs without a lower validation loss."""

    factor: Fraction
    patience: Annotated[int, Field(ge=0)]
    minimum: Annotated[float, Field(ge=0)]


class Recipe(Section):
    """One way to train a segmentation network."""

    modalities: Annotated[list[Modality], Field(min_length=1)]
    size: Annotated[int, Field(ge=16)]
    slices: Slices
    filters: Annotated[list[Count], Field(min_length=2)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    plateau: Plateau
    epochs: Count

    @model_validator(mode="after")
    def _size_can_be_halved(self) -> Self:
        step = 2 ** (len(self.filters) - 1)
        if self.size % step:
            raise ValueError(f"size must be a multiple of {step}, since {len(self.filters)} levels halve it")
        return self


class Evaluate(Section):
    """What the evaluation shows."""

    figures: Annotated[int, Field(ge=0)]
