"""Copy the listed cohort into the checkout, unchanged; or draw the phantom cohort."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from brats_ml import files
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.adapters.sources.base import Entry
from brats_ml.adapters.sources.factory import open_source
from brats_ml.adapters.sources.folder import copy_entry
from brats_ml.adapters.tables import frames
from brats_ml.cohort.phantom_cohort import PhantomCase, phantom_cohort
from brats_ml.cohort.release_files import NAME_MAPPING, READY_FEATURES, SURVIVAL_INFO
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params) -> Report:
    """Write the raw cohort and its clinical tables, each file at its path in the source.

    Raises:
        MissingInputError: There is no listing.
        SourceError: The source changed since the listing was made, or is damaged.
        ServiceError: A server does not answer; rerunning resumes the download.
        StorageError: The disk is too small.
    """
    listing = files.read_json(ws.listing)
    with files.replacing(ws.raw) as raw, files.replacing(ws.tables) as tables:
        raw.mkdir()
        tables.mkdir()
        if listing["phantom"] is not None:
            _draw(listing["phantom"], raw, tables)
        else:
            _fetch(ws, listing, raw, tables)
        if listing["features"] is not None:
            features = Entry(**listing["features"])
            copy_entry(ws.root / features.path, features, tables / READY_FEATURES)
        volumes, copied = (sum(path.is_file() for path in folder.rglob("*")) for folder in (raw, tables))
    return Report("acquire", f"{volumes} volume(s), {copied} table(s)")


def _fetch(ws: Workspace, listing: dict[str, Any], raw: Path, tables: Path) -> None:
    wanted = {
        entry: folder / entry.path
        for folder, entries in ((raw, listing["files"]), (tables, listing["tables"]))
        for entry in (Entry(**record) for record in entries)
    }
    for target in wanted.values():
        target.parent.mkdir(parents=True, exist_ok=True)
    source = open_source(listing["source"], root=ws.root, downloads=ws.state.downloads)
    with closing(source.fetch(wanted, listing["revision"])) as fetched:
        for _ in track(fetched, "fetching", total=len(wanted), console=Console(stderr=True)):
            pass


def _draw(phantom: dict[str, Any], raw: Path, tables: Path) -> None:
    """Draw the cases and write them one at a time, in the layout of their release."""
    names, survival = [], []
    drawn = track(phantom_cohort(**phantom), "drawing patients", total=phantom["cases"], console=Console(stderr=True))
    for case in drawn:
        _write_case(raw / case.case_id, case)
        names.append(case.name_mapping)
        survival.append(case.survival_info)
    for table, rows in ((NAME_MAPPING, names), (SURVIVAL_INFO, survival)):
        frames.write_csv(tables / table, pd.DataFrame([row for row in rows if row is not None]))


def _write_case(folder: Path, case: PhantomCase) -> None:
    grid = VoxelGrid(case.label.shape, case.affine)
    volumes: dict[str, NDArray[Any]] = {**case.images, "seg": case.label}
    for role, volume in volumes.items():
        write_volume(folder / volume_name(case.case_id, role), volume, grid)
