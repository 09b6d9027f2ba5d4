"""Bring the listed cohort in, unchanged, one folder a case; or draw the phantom cohort."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from brats_ml.adapters import files
from brats_ml.adapters.grid import Grid
from brats_ml.adapters.nifti import write_volume
from brats_ml.adapters.tables import READY_FEATURES
from brats_ml.cohort.phantom import PhantomPatient, phantom_affine, phantom_patient
from brats_ml.cohort.releases import naming_of
from brats_ml.config import Params
from brats_ml.errors import TableError
from brats_ml.stages.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params) -> Report:
    """Write the raw cohort and its clinical tables as the listing names them.

    Raises:
        MissingInputError: There is no listing.
        TableError: The source changed since the listing was made.
    """
    listing = files.read_json(ws.listing, made_by="brats source")
    with files.replacing(ws.raw) as raw, files.replacing(ws.tables) as tables:
        raw.mkdir()
        tables.mkdir()
        if listing["phantom"] is not None:
            _draw(listing["phantom"], raw, tables)
        else:
            _copy(ws.root / listing["source"], listing, raw, tables)
        if listing["features"] is not None:
            _copy_file(ws.root / listing["features"]["path"], listing["features"], tables / READY_FEATURES)
    cases, copied = (sum(1 for _ in folder.iterdir()) for folder in (ws.raw, ws.tables))
    return Report("acquire", f"{cases} case(s), {copied} table(s)")


def _copy(source: Path, listing: dict[str, Any], raw: Path, tables: Path) -> None:
    for entry in track(listing["files"], "copying volumes", console=Console(stderr=True)):
        path = source / entry["path"]
        _copy_file(path, entry, raw / path.parent.name / path.name)
    for entry in listing["tables"]:
        path = source / entry["path"]
        _copy_file(path, entry, tables / path.name)


def _copy_file(path: Path, entry: dict[str, Any], target: Path) -> None:
    """Copy one listed file; never link it, so that raw data stay as they are when the source is edited."""
    state = path.stat() if path.exists() else None
    if state is None or (state.st_size, state.st_mtime_ns) != (entry["bytes"], entry["mtime_ns"]):
        raise TableError(path, "changed or vanished since the source was listed; run `brats source` again")
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(path, target)


def _draw(phantom: dict[str, Any], raw: Path, tables: Path) -> None:
    """Draw the patients and write them one at a time, in the layout of BraTS 2020."""
    grid = Grid(tuple(phantom["shape"]), phantom_affine(phantom["shape"]))
    names, survival = [], []
    for index in track(range(phantom["cases"]), "drawing patients", console=Console(stderr=True)):
        patient = phantom_patient(index, shape=phantom["shape"], seed=phantom["seed"])
        _write_patient(raw / patient.patient, patient, grid)
        names.append(patient.name_mapping)
        survival.append(patient.survival_info)
    files.write_csv(tables / "name_mapping.csv", pd.DataFrame(names))
    files.write_csv(tables / "survival_info.csv", pd.DataFrame([row for row in survival if row is not None]))


def _write_patient(folder: Path, patient: PhantomPatient, grid: Grid) -> None:
    suffixes = naming_of(patient.patient).suffixes
    volumes: dict[str, NDArray[Any]] = {**patient.images, "seg": patient.label}
    for role, volume in volumes.items():
        write_volume(folder / f"{patient.patient}{suffixes[role]}.nii.gz", volume, grid)
