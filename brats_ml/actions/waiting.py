"""How many cases of the inbox have a prediction, from names alone; `brats pending` also notices changed files."""

from typing import Any

from brats_ml import files
from brats_ml.adapters.case_folder import cases_in
from brats_ml.adapters.tracking.reigns import MODELS, champion
from brats_ml.cohort.lab_names import BRATS, LabNaming
from brats_ml.workspace import Workspace


def inbox(ws: Workspace, naming: LabNaming = BRATS) -> dict[str, Any]:
    """Return the folder of the inbox, its cases, and how many have no prediction by the present champion."""
    folder = ws.inbox.path
    cases = [case.case_id for case in cases_in(folder, naming)] if folder.is_dir() else []
    last = champion(ws.state.ledger.path, MODELS["segmentation"])
    waiting = [case for case in cases if last is None or _scored_by(ws, case) != last.version]
    return {"folder": str(folder), "cases": len(cases), "waiting": len(waiting)}


def _scored_by(ws: Workspace, case_id: str) -> int | None:
    """Return the version of the segmentation model in the prediction of a case, or None."""
    prediction = ws.predictions().case(case_id).prediction
    if not prediction.path.is_file():
        return None
    model = files.read_json(prediction).get("provenance", {}).get("segmentation", {})
    version: int | None = model.get("version")
    return version
