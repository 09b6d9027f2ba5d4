"""The page of a batch: all predictions in a folder, in a browser, from the disk or from any server of files."""

import shutil
from pathlib import Path
from typing import Any

from brats_ml import files, locks
from brats_ml.actions.batch_addresses import enrol, page_links, run_page
from brats_ml.actions.follow_up import write_follow_ups
from brats_ml.actions.page_volumes import key_of, note_of, write_volumes
from brats_ml.cohort.labels import LABELS, SCHEMES
from brats_ml.cohort.modalities import MODALITIES, TITLES
from brats_ml.config import Params
from brats_ml.config.operation import FollowUp
from brats_ml.errors import StorageError
from brats_ml.models.drift_batches import alarm_in_words
from brats_ml.models.prediction_folders import has_its_labels, read_record
from brats_ml.report import Report
from brats_ml.reports import viewer
from brats_ml.reports.batch_page import SCRIPTS, STYLE, CaseOnPage, batch_page
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PredictionFolder, PredictionsFolder
from brats_ml.workspace.state import State
from brats_ml.workspace.viewer import LICENCE, installed

AS_SHIPPED = FollowUp()
NO_VIEWER = "the page shows pictures only, since NiiVue is not installed: install npm, then run `make install` again"


def run(ws: Workspace, params: Params, *, output: Path | None = None) -> Report:
    """Write the page of the predictions in `output`.

    Args:
        ws: The checkout.
        params: Its parameters.
        output: Folder of the predictions; the checkout's by default.

    Raises:
        StorageError: The operating system cannot read a prediction or write a file, or the name of the page is taken.
    """
    target = ws.predictions(output)
    count = write_page(target, limits=params.follow_up, state=ws.state)
    said = f"{count} case(s) in {target.page}" if count else f"no prediction in {target} yet"
    said += f"; {NO_VIEWER}" * bool(count and not target.page_files.niivue.exists())
    return Report("page", said, links=page_links(ws.state, target), details={"cases": count})


def write_page(target: PredictionsFolder, *, limits: FollowUp = AS_SHIPPED, state: State | None = None) -> int:
    """Write the page and all that it lacks, and return how many cases it has.

    What does not change is not written again. A torn prediction has no row until its case is scored again.

    Args:
        target: The predictions.
        limits: What a new lesion is, for patients with several time points.
        state: Where Airflow's server finds which folder to show; without it, the page has no link to a server.

    Raises:
        StorageError: The operating system cannot read a prediction or write a file, or the name of the page is taken.
    """
    if not target.path.exists():
        return 0
    _refuse_taken(target)
    with locks.exclusive(target.lock, holder="another process that lists the predictions"):
        records = [(folder, record) for folder in target.cases() if (record := read_record(folder)) is not None]
        if not records:
            return 0
        drawn = [
            record for folder, record in records if record.get("labels") is not None and has_its_labels(folder, record)
        ]
        for record in drawn:
            write_volumes(target, record)
        patients = write_follow_ups(target, drawn, limits)
        if state is not None:
            enrol(state, target)
        cases = [_case(target, folder, record) for folder, record in records]
        _write_viewer(target)
        run = run_page(state, target) if state else None
        _write_text(target.page.path, _page(target, cases, patients, run=run))
        _remove_others(target, {case.key for case in cases})
    return len(cases)


def _page(
    target: PredictionsFolder, cases: list[CaseOnPage], patients: list[dict[str, Any]], *, run: str | None
) -> str:
    return batch_page(
        cases,
        title=f"Predictions in {target.path.resolve().name}",
        table=target.table.path.name if target.table.path.exists() else None,
        run=run,
        has_viewer=target.page_files.niivue.exists(),
        modalities={modality: TITLES[modality] for modality in MODALITIES},
        patients=patients,
        alarm=alarm_in_words(target),
    )


def _case(target: PredictionsFolder, folder: PredictionFolder, record: dict[str, Any]) -> CaseOnPage:
    page, key = target.page_files, key_of(record)
    known = page.scripts(key) if key else set()
    scheme = SCHEMES.get(record["provenance"].get("labels", ""))
    return CaseOnPage(
        case_id=record["case_id"],
        key=key if known else None,
        folder=folder.path.name,
        scans=[modality for modality in MODALITIES if modality in known],
        label_map=record.get("labels"),
        label_values=scheme.values if scheme else LABELS,
        note=note_of(target, record, key, page),
        preview=folder.preview.path.name if folder.preview.path.exists() else None,
        record=record,
    )


def _refuse_taken(target: PredictionsFolder) -> None:
    """Refuse to write where something else has the name of the page: an older prediction, or the user's own file."""
    page, folder = target.page.path, target.page_files.path
    if target.follow_up.path.is_dir():
        raise StorageError(f"{target.follow_up} is a folder, and the page of predictions needs the name: move it away")
    is_ours = not folder.exists() or (folder.is_dir() and not PredictionFolder(folder).prediction.path.exists())
    if page.is_dir() or not is_ours:
        taken = folder if not is_ours else page
        raise StorageError(f"{taken} exists, and the page of predictions needs the name: move it away")


def _write_viewer(target: PredictionsFolder) -> None:
    page = target.page_files
    page.path.mkdir(exist_ok=True)
    for name in (*(f"{script}.js" for script in SCRIPTS), STYLE):
        _write_text(page.path / name, viewer.text(name))
    source = installed()
    if source.is_file():
        _copy(source, page.niivue)
        _write_text(page.licence, viewer.text(LICENCE))


def _write_text(path: Path, text: str) -> None:
    """Write a text file, unless it has this text."""
    content = text.encode()
    if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
        return
    with files.replacing(path) as temporary:
        temporary.write_bytes(content)


def _copy(source: Path, target: Path) -> None:
    """Copy a file, unless the copy has its size and digest."""
    same_size = target.is_file() and target.stat().st_size == source.stat().st_size
    if not (same_size and files.digest_file(target) == files.digest_file(source)):
        with files.replacing(target) as temporary:
            shutil.copyfile(source, temporary)


def _remove_others(target: PredictionsFolder, keys: set[str | None]) -> None:
    """Remove the volumes of predictions that others have replaced."""
    volumes = target.page_files.volumes
    for path in sorted(volumes.glob("[!.]*")) if volumes.is_dir() else ():
        if path.name not in keys:
            files.remove_whole(path)
