"""Predict unseen cases with the champions: label maps in each case's own grid, survival groups, and their inputs."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from brats_ml.actions.batch import Batch
from brats_ml.actions.batch_addresses import page_links
from brats_ml.actions.batch_page import write_page
from brats_ml.actions.batch_run import record_batch
from brats_ml.actions.case_prediction import Predictor
from brats_ml.actions.prediction_inputs import present_origin
from brats_ml.actions.prediction_table import review_note, write_table
from brats_ml.actions.remote_cases import refresh
from brats_ml.actions.unseen_cases import Listing, list_unseen, read_shard
from brats_ml.adapters.tracking.champions import open_champions, unverified
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.config import Params
from brats_ml.config.segmentation import check_preset
from brats_ml.errors import EmptyCohortError
from brats_ml.models.prediction_folders import REFUSED, SCORED, claim, refuse_other_batch, refuse_overlap
from brats_ml.report import Report
from brats_ml.workspace import Workspace
from brats_ml.workspace.artefact import Named


def run(
    ws: Workspace,
    params: Params,
    *,
    cases: Path | str | None = None,
    output: Path | None = None,
    only: Sequence[str] = (),
    shard: int | None = None,
    preset: str | None = None,
    probabilities: bool = False,
) -> Report:
    """Score every case in `cases` that has no up-to-date prediction in `output`; a bad case does not stop the others.

    Args:
        ws: The checkout.
        params: Its parameters; the rules of `validate` hold for unseen cases too.
        cases: Folder with one folder a case and, optionally, a clinical table, or an address of S3 that holds the like;
            the inbox by default.
        output: Each case gets a folder in here; the checkout's predictions by default.
        only: Names of the cases to score, where some may be gone by now; all by default.
        shard: Number of a list by `brats pending --divide`: its cases are scored, no other file in `cases` and `output`
            is read, and the table is left to `brats table`.
        preset: One of `PRESETS`; by default the one that the champion was registered with.
        probabilities: Whether each case gets a file with the probabilities of the regions.

    Raises:
        EmptyCohortError: There is no case, or all cases of a folder are refused.
        ModelError: There is no segmentation champion.
        ConfigError: There is no such preset, `output` and `cases` overlap, or `output` holds another batch.
        SourceError: S3 refuses the credentials or has no such bucket.
        StorageError: Cases could not be read or written, or memory was short, or a folder in `output` has the name of a
            case and is no prediction. These cases keep what they had, and the others are scored.
    """
    if preset is not None:
        check_preset(preset)
    source, target = ws.unseen(cases), ws.predictions(output)
    refuse_overlap(source.path, target.path)
    refuse_other_batch(target, source)
    # The other tasks of a run see the cases as the first one has downloaded them.
    absent = refresh(ws, source) if shard is None or not source.path.exists() else []
    listing = _listed(source, only, params, absent) if shard is None else Listing(read_shard(ws, shard))
    champions = open_champions(ws.state)
    origin = present_origin(ws, params, source.path, champions, preset=preset)
    notes = [champions.repair(name) for name in MODELS.values()]
    notes += [unverified(origin.segmentation), unverified(origin.survival)]
    predictor = Predictor(ws, params, origin, champions.registry)
    batch = Batch(predictor, target, Console(stderr=True), cases=source, probabilities=probabilities)
    counts = batch.score(listing.cases)
    if target.path.exists():
        claim(target, source)
    review = write_table(target)[1] if shard is None else 0
    if shard is None:
        notes.append(record_batch(ws, target))
        write_page(target, limits=params.follow_up, state=ws.state)
    batch.attempts.raise_failed(len(listing.cases))
    listing.require_readable()
    if shard is None and not only and counts[REFUSED] == len(listing.cases):
        raise EmptyCohortError(f"all {len(listing.cases)} cases of {source} were refused: see {target.table}")
    gone = counts["gone"] + max(0, len(set(only)) - len(listing.cases))
    done = f"{counts[SCORED]} scored, {counts['kept']} kept, {counts[REFUSED]} refused" + f", {gone} gone" * bool(gone)
    where = f"results in {target.path}" + (f", one row a case in {target.table.path.name}" if shard is None else "")
    said = "; ".join((done, predictor.summary(), *filter(None, notes), where)) + review_note(target, review)
    details = {name: counts[name] for name in (SCORED, "kept", REFUSED)} | {"gone": gone, "models": origin.models()}
    links = page_links(ws.state, target) | champions.registry.pages([origin.segmentation])
    return Report("score", said, links=links, details=details)


def _listed(source: Named, only: Sequence[str], params: Params, absent: Sequence[str]) -> Listing:
    """Return the cases of a folder, or those of some names.

    Raises:
        EmptyCohortError: There is none.
        StorageError: There is none, and a folder cannot be read.
    """
    listing = list_unseen(source, params.acquire.naming.rules, absent=absent)
    wanted = [unseen for unseen in listing.cases if not only or unseen.case.case_id in only]
    if wanted:
        return Listing(wanted, listing.unreadable)
    listing.require_readable()
    if listing.cases:
        raise EmptyCohortError(f"{source} holds no case {', '.join(sorted(only))}")
    raise EmptyCohortError(
        f"{source} holds no case: put a folder of NIfTI volumes for each there (docs/how-to/real-data.md has the names)"
    )
