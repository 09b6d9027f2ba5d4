"""The sections on data: their source, the rules of validation, the split."""

from functools import cached_property
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from brats_ml.cohort.lab_names import Labels, LabelSetName, LabNaming, Role
from brats_ml.cohort.path_pattern import PathPattern
from brats_ml.cohort.severity import NEVER_NOTED, Check, Severity
from brats_ml.cohort.source_address import PHANTOM, parse_address
from brats_ml.config.section import Count, Fraction, Section

MOST_PHANTOMS = 1000


def _has_a_known_form(source: str) -> str:
    if source != PHANTOM:
        parse_address(source)
    return source


def _is_a_pattern(text: str) -> str:
    return PathPattern.parse(text).text


def _is_a_word(word: str) -> str:
    if not word.strip() or set(word) & set("/*{}"):
        raise ValueError("a word is the part of a file name that means a modality, without / * { }")
    return word


class Naming(Section):
    """Names of files that no release uses; they hold for the cohort and for the cases to score.

    Attributes:
        patterns: Patterns of paths, as `cohort/path_pattern.py` describes them.
        words: Words by modality or `seg`, added to those of `cohort/lab_names.py`.
        labels: The label scheme of cases with names of no release.
        label_set: The label set of the cohort where names do not say it, or do not agree; see `cohort/label_table.py`.
    """

    patterns: list[Annotated[str, AfterValidator(_is_a_pattern)]] = Field(default_factory=list)
    words: dict[Role, list[Annotated[str, AfterValidator(_is_a_word)]]] = Field(default_factory=dict)
    labels: Labels = "brats2017-2021"
    label_set: LabelSetName | None = None

    @model_validator(mode="after")
    def _each_word_means_one_thing(self) -> Self:
        owner: dict[str, Role] = {}
        for role, words in self.words.items():
            for word in map(str.lower, words):
                if owner.setdefault(word, role) != role:
                    raise ValueError(f"words give {word} to both {owner[word]} and {role}; remove one")
        return self

    @cached_property
    def rules(self) -> LabNaming:
        """The same as `find_cases` needs it."""
        return LabNaming.of(patterns=self.patterns, words=self.words, labels=self.labels, label_set=self.label_set)


class Acquire(Section):
    """The source of the cohort, of which `cohort/source_address.py` lists the forms, and the names of its files."""

    source: Annotated[str, AfterValidator(_has_a_known_form)]
    naming: Naming = Naming()


class Phantom(Section):
    """The synthetic cohort, as `cohort/phantom_cohort.py` draws it."""

    cases: Annotated[int, Field(ge=1, le=MOST_PHANTOMS)]
    shape: Annotated[list[Annotated[int, Field(ge=32, le=512)]], Field(min_length=3, max_length=3)]
    seed: Annotated[int, Field(ge=0)]
    cavity_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    lesions: Annotated[int, Field(ge=1, le=4)] = 1
    time_points: Annotated[int, Field(ge=1, le=5)] = 1

    @property
    def is_treated(self) -> bool:
        """Whether the cases are after treatment, in the style of BraTS 2024."""
        return self.cavity_share > 0 or self.lesions > 1 or self.time_points > 1


class Validate(Section):
    """Rules that a case must pass.

    Attributes:
        phantom_shape: The voxels of a phantom along each axis, which are the value of phantom.shape.
    """

    spacing_mm: Annotated[float, Field(gt=0)]
    spacing_tolerance: Annotated[float, Field(ge=0)]
    minimum_size: Count
    maximum_size: Count
    grid_tolerance_mm: Annotated[float, Field(ge=0)]
    oblique_degrees: Annotated[float, Field(ge=0, lt=45)]
    largest_intensity: Annotated[float, Field(gt=0)]
    minimum_brain_share: Annotated[float, Field(ge=0, lt=1)]
    maximum_brain_share: Annotated[float, Field(gt=0, le=1)]
    minimum_brain_ml: Annotated[float, Field(ge=0)]
    maximum_brain_ml: Annotated[float, Field(gt=0)]
    minimum_levels: Count
    negative_share: Annotated[float, Field(ge=0, le=1)]
    mask_agreement: Annotated[float, Field(ge=0, le=1)]
    mirror_ratio: Annotated[float, Field(gt=0)]
    likeness: Annotated[float, Field(gt=0, le=1)]
    pairing: Annotated[float, Field(ge=-4, lt=4)]
    enhancement: float
    fluid_contrast: float
    outside_brain_share: Annotated[float, Field(ge=0, le=1)]
    label_contrast: Annotated[float, Field(ge=-1, lt=1)]
    label_advantage: Annotated[float, Field(ge=-2, lt=2)]
    minimum_valid_share: Annotated[float, Field(ge=0, le=1)]
    severity: dict[Check, Severity]
    phantom_shape: list[int] | None = None

    @model_validator(mode="after")
    def _keeps_out_what_cannot_be_used(self) -> Self:
        for check in NEVER_NOTED:
            if self.severity.get(check) == "info":
                raise ValueError(f"severity of {check} cannot be info: a case that fails it cannot be preprocessed")
        return self


class Split(Section):
    """Shares of the patients that are held out."""

    validation: Fraction
    test: Fraction
    seed: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _leaves_patients_to_train(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together must stay below 1")
        return self
