"""One canonical, cropped array file a case: read once here, so that no stage after it opens compressed volumes."""

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from brats_ml.adapters import arrays, files, grid, nifti, nifti_header, volumes
from brats_ml.adapters.arrays import PreprocessedCase, write_case
from brats_ml.adapters.grid import Grid
from brats_ml.adapters.nifti import Volume
from brats_ml.adapters.store import code_digest, kept_file, link
from brats_ml.cohort import cases as cohort_cases
from brats_ml.cohort import labels
from brats_ml.cohort.cases import Case
from brats_ml.cohort.labels import SCHEMES
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.config import Params
from brats_ml.errors import CaseError
from brats_ml.imaging import geometry
from brats_ml.imaging.geometry import bounding_box_of_any, crop
from brats_ml.stages.report import Report
from brats_ml.workspace import Workspace

# What an array file is computed by.
CODE = (arrays, grid, nifti, nifti_header, volumes, cohort_cases, labels, geometry)


def run(ws: Workspace, params: Params) -> Report:
    """Write an array file for every case of the manifest, and an index of them.

    The index maps a case id to its `patient`, whether it is `labelled`, and the `digest` of its file. Files are kept
    in the workspace's state by what they are made from, and linked: one more case costs one case.
    """
    records = files.read_json(ws.manifest, made_by="brats validate")["cases"]
    store, code = ws.array_files, code_digest(*CODE, sys.modules[__name__])
    with files.replacing(ws.preprocessed) as folder, ThreadPoolExecutor(volumes.CASES_AT_ONCE) as pool:
        folder.mkdir()
        written = pool.map(lambda record: _provide(ws.raw, record, store, code, folder), records)
        entries = list(track(written, "preprocessing", total=len(records), console=Console(stderr=True)))
        index = {record["case_id"]: entry for record, entry in zip(records, entries, strict=True)}
        files.write_json(folder / "index.json", index)
    labelled = sum(entry["labelled"] for entry in entries)
    return Report("preprocess", f"{len(records)} case(s) cropped to the brain, {labelled} of them with a label map")


def case_of(record: Mapping[str, Any]) -> Case:
    """Return the case of a record of the manifest, which says more than the case."""
    return Case(**{name: record[name] for name in Case.__dataclass_fields__ if name in record})


def preprocess_case(folder: Path, case: Case) -> tuple[PreprocessedCase, Grid]:
    """Read a case, turn it to the canonical orientation, and crop it to every voxel that any modality or label fills.

    Args:
        folder: The cohort's folder, which the case's files are relative to.
        case: With all four modalities; the label map may be missing.

    Returns:
        The case, integers kept as integers and everything else as float32; and the grid its volumes are stored on.

    Raises:
        CaseError: A file cannot be read, shapes differ, or the label map holds a value that its scheme does not know.
    """
    try:
        read = {role: _readable(volume) for role, volume in volumes.read_case_volumes(folder, case).items()}
        turned = {role: volume.grid.to_canonical(volume.array) for role, volume in read.items()}
        shape = turned["flair"].shape
        if any(volume.shape != shape for volume in turned.values()):
            raise ValueError("its volumes have different shapes")
        box = bounding_box_of_any(list(turned.values()))
        # Everything after this works on the third of the voxels that the head takes.
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


def _provide(source: Path, record: Mapping[str, Any], store: Path, code: str, folder: Path) -> dict[str, Any]:
    """Put the file of a case into the folder, made now or before, and return its entry of the index."""
    case = case_of(record)
    made_from = {"files": record["digest"], "scheme": case.scheme, "channels": case.channels, "code": code}
    key = files.digest_value(made_from)
    made, digest = kept_file(store / f"{key}.npz", lambda path: write_case(path, preprocess_case(source, case)[0]))
    link(made, folder / f"{case.case_id}.npz")
    return {"patient": case.patient, "labelled": case.label is not None, "digest": digest}


def _readable(volume: Volume | ValueError) -> Volume:
    if isinstance(volume, ValueError):
        raise volume
    return volume


def _stack(images: list[NDArray[Any]]) -> NDArray[Any]:
    """Return images as one array (modality, X, Y, Z), integers kept as integers, everything else as float32."""
    stacked = np.stack(images)
    return stacked if np.issubdtype(stacked.dtype, np.integer) else stacked.astype(np.float32, copy=False)
