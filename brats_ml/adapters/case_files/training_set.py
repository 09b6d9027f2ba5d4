"""Preprocessed cases as a training set: in memory while they fit, mapped from disk beyond that."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brats_ml.adapters.case_files.array_file import read_case
from brats_ml.cohort.labels import LabelMap
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.errors import CaseError
from brats_ml.files import replacing
from brats_ml.imaging.channels import region_channels


def read(
    cases: Path,
    case_ids: Sequence[str],
    *,
    modalities: Sequence[str],
    contralateral: bool,
    memory_bytes: int,
    folder: Path,
) -> tuple[list[NDArray[np.float16]], list[LabelMap]]:
    """Return images (X, Y, Z, channel), normalised, in float16, and label maps (X, Y, Z) of cases.

    Args:
        cases: Folder of preprocessed cases.
        case_ids: Which of them.
        modalities: Channels, in this order.
        contralateral: Whether each is seen on the other side of the brain, too.
        memory_bytes: That the images may take; those beyond it are mapped.
        folder: Where mapped images are written, for these cases and channels alone; what lies there is not made anew.

    Raises:
        CaseError: A case has no reference label map.
    """
    images: list[NDArray[np.float16]] = []
    labels: list[LabelMap] = []
    left = memory_bytes
    for case_id in case_ids:
        case = read_case(cases / f"{case_id}.npz")
        if case.label is None:
            raise CaseError(case_id, "has no reference label map to train on")
        chosen = case.image[[MODALITIES.index(modality) for modality in modalities]]
        channels = region_channels(chosen, contralateral=contralateral)
        image = np.ascontiguousarray(np.moveaxis(channels, 0, -1).astype(np.float16))
        left -= image.nbytes
        images.append(image if left >= 0 else _mapped(folder / f"{case_id}.npy", image))
        labels.append(case.label)
    return images, labels


def _mapped(path: Path, image: NDArray[np.float16]) -> NDArray[np.float16]:
    if not path.exists():
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, image)
    mapped: NDArray[np.float16] = np.load(path, mmap_mode="r")
    return mapped
