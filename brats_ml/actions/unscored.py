"""List the unseen cases that wait for a prediction, in shards, from names, sizes and times alone."""

from pathlib import Path

from brats_ml.actions.prediction_folders import refuse_overlap
from brats_ml.actions.prediction_inputs import present_origin, unseen_cases, was_scored
from brats_ml.adapters.tracking.champions import open_champions
from brats_ml.adapters.tracking.registry import MODELS
from brats_ml.config import Params
from brats_ml.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params, *, cases: Path | None = None, output: Path | None = None) -> Report:
    """Report the cases in `cases` that are new, or changed, or were scored by other models than the champions.

    Args:
        ws: The checkout.
        params: Its parameters.
        cases: Folder with one folder a case; the inbox by default.
        output: Folder of the predictions; the checkout's by default.

    Raises:
        MissingInputError: There is no such folder.
    """
    source, target = ws.unseen(cases), ws.predictions(output)
    refuse_overlap(source.path, target.path)
    found = unseen_cases(source)
    champions = open_champions(ws.state)
    notes = [note for name in MODELS.values() if (note := champions.repair(name))]
    if champions.of(MODELS["segmentation"]) is None:
        said = f"{len(found)} case(s) wait for a first champion of {MODELS['segmentation']}"
        return Report("pending", "; ".join((said, *notes)), details={"shards": []})
    origin = present_origin(ws, params, source.path, champions)
    waiting = [case.case_id for case in found if not was_scored(target, case, origin.fingerprint(case))]
    size = params.orchestration.shard_cases
    shards = [waiting[start : start + size] for start in range(0, len(waiting), size)]
    summary = f"{len(waiting)} of {len(found)} case(s) wait, in {len(shards)} shard(s)"
    return Report("pending", "; ".join((summary, *notes)), details={"shards": shards})
