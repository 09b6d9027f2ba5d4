"""List the unseen cases that wait for a prediction, in shards, from names, sizes and times alone."""

from collections.abc import Sequence
from pathlib import Path

from brats_ml.actions.prediction_inputs import Origin, origin_by, present_origin
from brats_ml.actions.remote_cases import refresh
from brats_ml.actions.unseen_cases import Listing, Unseen, divide, list_unseen, write_shards
from brats_ml.adapters.tracking.champions import champions_in_ledger, open_champions
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.config import Params
from brats_ml.errors import StorageError
from brats_ml.models.prediction_folders import has_probabilities, is_marked, refuse_other_batch, refuse_overlap
from brats_ml.report import Report
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PredictionsFolder


def run(
    ws: Workspace,
    params: Params,
    *,
    cases: Path | str | None = None,
    output: Path | None = None,
    divided: bool = False,
    preset: str | None = None,
    probabilities: bool = False,
    ledger_only: bool = False,
) -> Report:
    """Report the cases in `cases` that are new, or changed, or were scored by other models than the champions.

    Args:
        ws: The checkout.
        params: Its parameters.
        cases: Folder with one folder a case, or an address of S3; the inbox by default.
        output: Folder of the predictions; the checkout's by default.
        divided: Whether to write a list of the cases of each shard, for `brats score --shard`.
        preset: The preset that predictions must have; by default the one that the champion was registered with.
        probabilities: Whether each prediction needs a file of probabilities.
        ledger_only: Whether to believe the ledger without asking MLflow, which takes longer and may correct an alias.

    Raises:
        MissingInputError: There is no such folder.
        ConfigError: The output folder overlaps the cases, or holds another batch.
        SourceError: S3 refuses the credentials or has no such bucket.
    """
    source, target = ws.unseen(cases), ws.predictions(output)
    refuse_overlap(source.path, target.path)
    refuse_other_batch(target, source)
    listing = list_unseen(source, params.acquire.naming.rules, absent=refresh(ws, source))
    found = listing.cases
    if ledger_only:
        known = champions_in_ledger(ws.state)
        if MODELS["segmentation"] in known:
            both = known[MODELS["segmentation"]], known.get(MODELS["survival"])
            origin = origin_by(*both, ws, params, source.path, preset=preset)
            return _report(ws, params, listing, origin, target, divided=divided, probabilities=probabilities)
    champions = open_champions(ws.state)
    notes = [note for name in MODELS.values() if (note := champions.repair(name))] + listing.unreadable
    if champions.of(MODELS["segmentation"]) is None:
        said = f"{len(found)} case(s) wait for a first champion of {MODELS['segmentation']}"
        return Report("pending", "; ".join((said, *notes)), details={"shards": []})
    origin = present_origin(ws, params, source.path, champions, preset=preset)
    return _report(ws, params, listing, origin, target, notes=notes, divided=divided, probabilities=probabilities)


def _report(
    ws: Workspace,
    params: Params,
    listing: Listing,
    origin: Origin,
    target: PredictionsFolder,
    *,
    divided: bool,
    probabilities: bool,
    notes: Sequence[str] | None = None,
) -> Report:
    found, notes = listing.cases, listing.unreadable if notes is None else notes
    waiting = [unseen for unseen in found if not _is_scored(origin, target, unseen, probabilities=probabilities)]
    limits = params.orchestration
    shards = divide(waiting, shard_cases=limits.shard_cases, most_shards=limits.most_shards)
    if divided:
        write_shards(ws, shards)
    size = f" of {len(shards[0])} case(s)" if shards else ""
    summary = f"{len(waiting)} of {len(found)} case(s) wait, in {len(shards)} shard(s){size}"
    names = [[unseen.case.case_id for unseen in shard] for shard in shards]
    return Report("pending", "; ".join((summary, *notes)), details={"shards": names})


def _is_scored(origin: Origin, target: PredictionsFolder, unseen: Unseen, *, probabilities: bool) -> bool:
    """Return whether a case has an up-to-date prediction; one that cannot be read is left to scoring."""
    if unseen.age.unread or unseen.doubt is not None:
        return False
    case_id = unseen.case.case_id
    if probabilities and not has_probabilities(target.case(case_id), case_id):
        return False
    try:
        return is_marked(target, case_id, origin.fingerprint(unseen))
    except StorageError:
        return False
