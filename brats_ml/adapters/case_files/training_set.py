"""Preprocessed cases as a training set: in memory while they fit, mapped from disk beyond that."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.cohort.labels import LabelMap
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.files import replacing
from brats_ml.imaging.channels import region_channels
from brats_ml.workspace.outputs import PreprocessedFolder
from brats_ml.workspace.state import ArrayFolder


def read(
    cases: PreprocessedFolder,
    case_ids: Sequence[str],
    *,
    modalities: Sequence[str],
    contralateral: bool,
    memory_bytes: int,
    mapped: ArrayFolder,
) -> tuple[list[NDArray[np.float16]], list[LabelMap]]:
    """Return images (X, Y, Z, channel), normalised, in float16, and label maps (X, Y, Z) of cases.

    Args:
        cases: The preprocessed cases.
        case_ids: Which of them to read.
        modalities: Channels, in this order.
        contralateral: Whether the network also sees each modality on the other side of the brain.
        memory_bytes: Memory for the images; further images are mapped from disk.
        mapped: Folder of mapped images, for these cases and channels alone; one with other values is written again.

    Raises:
        CaseError: A case has no reference label map.
    """
    images: list[NDArray[np.float16]] = []
    labels: list[LabelMap] = []
    left = memory_bytes
    for case_id in case_ids:
        case = read_labelled_case(cases.case(case_id))
        chosen = case.image[[MODALITIES.index(modality) for modality in modalities]]
        channels = region_channels(chosen, contralateral=contralateral)
        image = np.ascontiguousarray(np.moveaxis(channels, 0, -1).astype(np.float16))
        left -= image.nbytes
        images.append(image if left >= 0 else _mapped(mapped.array(case_id), image))
        labels.append(case.label)
    return images, labels


def _mapped(path: Path, image: NDArray[np.float16]) -> NDArray[np.float16]:
    if not _holds(path, image):
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, image)
    on_disk: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return on_disk


def _holds(path: Path, image: NDArray[np.float16]) -> bool:
    """Return whether a file holds an image, and neither a part of it nor other values."""
    with suppress(OSError, ValueError, EOFError):
        kept = np.load(path, mmap_mode="r")
        return kept.dtype == image.dtype and np.array_equal(kept.view(np.uint16), image.view(np.uint16))
    return False
