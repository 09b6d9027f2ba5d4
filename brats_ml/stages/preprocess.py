"""One canonical, cropped array file a case: read once here, so that no stage after it opens compressed volumes."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from brats_ml.adapters import files, nifti
from brats_ml.adapters.arrays import PreprocessedCase, write_case
from brats_ml.cohort.cases import MODALITIES, Case
from brats_ml.cohort.labels import SCHEMES, LabelMap
from brats_ml.config import Params
from brats_ml.errors import CaseError
from brats_ml.imaging.geometry import bounding_box, crop
from brats_ml.stages.report import Report
from brats_ml.workspace import Workspace

# Threads suffice, since inflating and copying release the interpreter lock; each holds one case of up to 0.3 GB.
WORKERS = 4


def run(ws: Workspace, params: Params) -> Report:
    """Write an array file for every case of the manifest, and an index of them.

    The index maps a case id to its `patient`, whether it is `labelled`, and the `digest` of its file.
    """
    records = files.read_json(ws.manifest, made_by="brats validate")["cases"]
    cases = [case_of(record) for record in records]
    with files.replacing(ws.preprocessed) as folder, ThreadPoolExecutor(WORKERS) as pool:
        folder.mkdir()
        written = pool.map(lambda case: _write(ws.raw, case, folder), cases)
        entries = list(track(written, "preprocessing", total=len(cases), console=Console(stderr=True)))
        files.write_json(
            folder / "index.json", {case.case_id: entry for case, entry in zip(cases, entries, strict=True)}
        )
    labelled = sum(entry["labelled"] for entry in entries)
    return Report("preprocess", f"{len(cases)} case(s) cropped to the brain, {labelled} of them with a label map")


def case_of(record: dict[str, Any]) -> Case:
    """Return the case of a record of the manifest, which says more than the case."""
    return Case(**{name: record[name] for name in Case.__dataclass_fields__})


def preprocess_case(folder: Path, case: Case) -> tuple[PreprocessedCase, nifti.Grid]:
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
        volumes, grids = zip(*(_read(folder / case.images[modality]) for modality in MODALITIES), strict=True)
        image = np.stack(volumes)
        label = None if case.label is None else _read_label(folder / case.label, case.scheme)
        filled = (image != 0).any(axis=0) if label is None else (image != 0).any(axis=0) | (label != 0)
    except ValueError as error:
        raise CaseError(case.case_id, str(error)) from error
    if not np.issubdtype(image.dtype, np.integer):
        image = image.astype(np.float32)
    box = bounding_box(filled)
    x, y, z = (axis.start for axis in box)
    rows, columns, depth = filled.shape
    cropped = PreprocessedCase(
        image=crop(image, box),
        label=None if label is None else crop(label, box),
        start=(x, y, z),
        full_shape=(rows, columns, depth),
    )
    return cropped, grids[0]


def _write(source: Path, case: Case, folder: Path) -> dict[str, Any]:
    prepared, _ = preprocess_case(source, case)
    path = folder / f"{case.case_id}.npz"
    write_case(path, prepared)
    return {"patient": case.patient, "labelled": prepared.label is not None, "digest": files.digest_file(path)}


def _read(path: Path) -> tuple[NDArray[Any], nifti.Grid]:
    stored, grid = nifti.read_volume(path)
    return grid.to_canonical(stored), grid


def _read_label(path: Path, scheme: str) -> LabelMap:
    raw, _ = _read(path)
    return SCHEMES[scheme].to_canonical(raw)
