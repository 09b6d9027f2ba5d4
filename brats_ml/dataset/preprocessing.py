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
        case: A case with all four modalities; its label map may be missing.

    Returns:
        The case, integers kept as integers and everything else as float32; and the grid of its stored volumes.

    Raises:
        CaseError: A file cannot be read, shapes differ, or the label map holds a value that its scheme does not know.
    """
    try:
        read = {role: _readable(volume) for role, volume in read_case_volumes(folder, case).items()}
        turned = {role: volume.grid.to_canonical(volume.array) for role, volume in read.items()}
        shape = turned["flair"].shape
        if any(volume.shape != shape for volume in turned.values()):
            raise ValueError("its volumes have different shapes")
        box = bounding_box_of_any(list(turned.values()))
        # Cropping first saves time: the head takes a third of the voxels.
        inside = {role: np.ascontiguousarray(crop(volume, box)) for role, volume in turned.items()}
        label = SCHEMES[case.scheme].to_canonical(inside["seg"]) if "seg" in inside else None
    except ValueError as error:
        raise CaseError(case.case_id, str(error)) from error
    cropped = PreprocessedCase(
        image=_stack([inside[modality] for modality in MODALITIES]),
        label=label,
        start=(box[0].start, box[1].start, box[2].start),
        full_shape=(shape[0], shape[1], shape[2]),
    )
    return cropped, read["flair"].grid


def _readable(volume: Volume | ValueError) -> Volume:
    if isinstance(volume, ValueError):
        raise volume
    return volume


def _stack(images: list[NDArray[Any]]) -> NDArray[Any]:
    """Return images as one array (modality, X, Y, Z), integers kept as integers, everything else as float32."""
    stacked = np.stack(images)
    return stacked if np.issubdtype(stacked.dtype, np.integer) else stacked.astype(np.float32, copy=False)
