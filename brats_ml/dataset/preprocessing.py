"""One case from its files to one canonical, cropped array: the same call in the pipeline and in scoring."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brats_ml.adapters.case_files.array_file import PreprocessedCase
from brats_ml.adapters.nifti.case import read_case_volumes
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import Volume
from brats_ml.cohort.cases import Case
from brats_ml.cohort.labels import SCHEMES
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.errors import CaseError
from brats_ml.imaging.geometry import bounding_box_of_any, crop


def case_of(record: Mapping[str, Any]) -> Case:
    """Return the case of a record of the manifest; the record also holds grid, digest and aliases."""
    return Case(**{name: record[name] for name in Case.__dataclass_fields__ if name in record})


def preprocess_case(folder: Path, case: Case) -> tuple[PreprocessedCase, VoxelGrid]:
    """Read a case, turn it to the canonical orientation, and crop it to the box of all non-zero voxels.

    Args:
        folder: The cohort's folder; the case's files are relative to it.
        case: A case with one modality at least; others and its label map may be missing.

    Returns:
        The case, integers kept as integers and everything else as float32, and each missing modality 0 everywhere; and
        the grid of its stored volumes.

    Raises:
        CaseError: A file cannot be read, shapes differ, or the label map holds a value that its scheme does not know.
    """
    try:
        read = {role: _readable(volume) for role, volume in read_case_volumes(folder, case).items()}
        first = next(iter(case.images))
        grid = read[first].grid
        turned = {role: read[role].grid.to_canonical(read.pop(role).array) for role in list(read)}
        shape = turned[first].shape
        if any(volume.shape != shape for volume in turned.values()):
            raise ValueError("its volumes have different shapes")
        box = bounding_box_of_any(list(turned.values()))
        label = SCHEMES[case.scheme].to_canonical(crop(turned.pop("seg"), box)) if "seg" in turned else None
        # Cropping first saves time: the head takes a third of the voxels.
        image = _stack({role: crop(turned.pop(role), box) for role in list(turned)})
    except ValueError as error:
        raise CaseError(case.case_id, str(error)) from error
    cropped = PreprocessedCase(
        image=image,
        label=label,
        start=(box[0].start, box[1].start, box[2].start),
        full_shape=(shape[0], shape[1], shape[2]),
    )
    return cropped, grid


def _readable(volume: Volume | ValueError) -> Volume:
    if isinstance(volume, ValueError):
        raise volume
    return volume


def _stack(images: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Return images as one array (modality, X, Y, Z), integers kept as integers, everything else as float32."""
    common = np.result_type(*images.values())
    dtype = common if np.issubdtype(common, np.integer) else np.float32
    stacked = np.zeros((len(MODALITIES), *next(iter(images.values())).shape), dtype=dtype)
    for index, modality in enumerate(MODALITIES):
        # Each image is freed before the next one is copied.
        if modality in images:
            stacked[index] = images.pop(modality)
    return stacked
