"""Fill the inbox with synthetic patients that no model has seen, so that anyone can try scoring."""

import pandas as pd
from rich.console import Console
from rich.progress import track

from brats_ml import files
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.adapters.tables import frames
from brats_ml.cohort.phantom import phantom_affine, phantom_patient
from brats_ml.cohort.release_files import SURVIVAL_INFO
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params, *, cases: int = 4) -> Report:
    """Draw `cases` patients with another seed than the cohort's, without label maps, and a table of their ages.

    An inbox that is not empty stays as it is.
    """
    if ws.inbox.path.exists() and any(ws.inbox.path.iterdir()):
        return Report("inbox", f"{ws.name(ws.inbox)}/ is not empty and stays as it is")
    shape, seed = params.phantom.shape, params.phantom.seed + 1
    grid = VoxelGrid(tuple(shape), phantom_affine(shape))
    rows = []
    with files.replacing(ws.inbox) as inbox:
        for index in track(range(cases), "drawing patients", console=Console(stderr=True)):
            patient = phantom_patient(index, shape=shape, seed=seed)
            # Releases name patients without a reference label map this way.
            name = patient.patient.replace("Training", "Validation")
            for modality, volume in patient.images.items():
                write_volume(inbox / name / volume_name(name, modality), volume, grid)
            if patient.survival_info is not None:
                rows.append({**patient.survival_info, "Brats20ID": name, "Survival_days": ""})
        frames.write_csv(inbox / SURVIVAL_INFO, pd.DataFrame(rows))
    return Report("inbox", f"{cases} unseen synthetic patients in {ws.name(ws.inbox)}/")
