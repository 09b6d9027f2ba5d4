"""Preprocessed cases, one array file each."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.cohort.labels import LabelMap
from brats_ml.errors import CaseError
from brats_ml.files import replacing, require
from brats_ml.workspace import Artefact


@dataclass(frozen=True)
class PreprocessedCase:
    """One case in canonical orientation, cropped to its brain.

    Attributes:
        image: Modalities in the order of `cohort.cases.MODALITIES`, shape (modality, X, Y, Z), intensities as acquired.
        label: Canonical label map, shape (X, Y, Z), or None where the case has no reference.
        start: Corner of the crop in the full canonical volume.
        full_shape: Shape of the full canonical volume.
    """

    image: NDArray[Any]
    label: LabelMap | None
    start: tuple[int, int, int]
    full_shape: tuple[int, int, int]


@dataclass(frozen=True)
class LabelledCase(PreprocessedCase):
    """A case that has a reference label map."""

    label: LabelMap


def write_case(path: os.PathLike[str], case: PreprocessedCase) -> None:
    """Write a case as an uncompressed `.npz`; equal cases give equal bytes."""
    arrays: dict[str, Any] = {
        "image": case.image,
        "start": np.array(case.start),
        "full_shape": np.array(case.full_shape),
    }
    if case.label is not None:
        arrays["label"] = case.label
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def read_case(case: Artefact) -> PreprocessedCase:
    """Read a case; the inverse of `write_case`.

    Raises:
        CaseError: Its file is damaged.
        MissingInputError: It has no file.
    """
    path = require(case)
    with _damage_explained(path), path.open("rb") as file, np.load(file) as stored:
        return PreprocessedCase(
            image=stored["image"],
            label=stored.get("label"),
            start=tuple(stored["start"].tolist()),
            full_shape=tuple(stored["full_shape"].tolist()),
        )


def read_labelled_case(case: Artefact) -> LabelledCase:
    """Read a case to learn from, or to compare a prediction with.

    Raises:
        CaseError: It has no reference label map, or its file is damaged.
        MissingInputError: It has no file.
    """
    found = read_case(case)
    if found.label is None:
        reason = "has no reference label map, which this step needs: add it to the cohort and run the pipeline again"
        raise CaseError(case.path.stem, reason)
    return LabelledCase(found.image, found.label, found.start, found.full_shape)


def read_shape(case: Artefact) -> tuple[int, int, int]:
    """Return the extent of a case's crop, (X, Y, Z), without reading its voxels.

    Raises:
        CaseError: Its file is damaged.
        MissingInputError: It has no file.
    """
    path = require(case)
    with _damage_explained(path), zipfile.ZipFile(path) as stored, stored.open("image.npy") as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, _ = read(member)
    return int(shape[1]), int(shape[2]), int(shape[3])


@contextmanager
def _damage_explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        reason = f"{path} is damaged ({error}); remove it and run `brats preprocess` again"
        raise CaseError(path.stem, reason) from error
