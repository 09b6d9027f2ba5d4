"""Fill the inbox with synthetic patients that no model has seen, so that anyone can try scoring."""

import pandas as pd
from rich.console import Console
from rich.progress import track

from brats_ml import files
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.adapters.tables import frames
from brats_ml.cohort.phantom_cohort import phantom_cohort
from brats_ml.cohort.release_files import SURVIVAL_INFO
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.config.data import MOST_PHANTOMS
from brats_ml.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params, *, cases: int = 4) -> Report:
    """Draw `cases` cases with another seed than the cohort's, without label maps, and a table of ages.

    An inbox that is not empty stays as it is.
    """
    if ws.inbox.path.exists() and any(ws.inbox.path.iterdir()):
        return Report("inbox", f"{ws.name(ws.inbox)}/ is not empty and stays as it is")
    settings = {**params.phantom.model_dump(), "cases": cases, "seed": params.phantom.seed + 1}
    # Names with time points do not say what a case is for, so these patients have numbers that no cohort reaches.
    settings["first"] = MOST_PHANTOMS if params.phantom.is_treated else 0
    rows = []
    with files.replacing(ws.inbox) as inbox:
        drawn = phantom_cohort(**settings)
        for case in track(drawn, "drawing patients", total=cases, console=Console(stderr=True)):
            name = _unlabelled(case.case_id)
            for modality, volume in case.images.items():
                grid = VoxelGrid(volume.shape, case.affine)
                write_volume(inbox / name / volume_name(name, modality), volume, grid)
            if case.survival_info is not None:
                row = {header: _unlabelled(cell) for header, cell in case.survival_info.items()}
                rows.append({**row, "Survival_days": ""})
        frames.write_csv(inbox / SURVIVAL_INFO, pd.DataFrame(rows))
    return Report("inbox", f"{cases} unseen synthetic cases in {ws.name(ws.inbox)}/")


def _unlabelled(name: str) -> str:
    """Return the name that BraTS 2020 gives to a patient without a reference label map; other names stay."""
    return name.replace("Training", "Validation")
