"""Predict unseen cases with the champions: label maps in each case's own grid, survival groups, and their inputs."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import track

from brats_ml import files, locks
from brats_ml.actions.prediction_folders import keep_earlier, refuse_foreign, refuse_overlap
from brats_ml.actions.prediction_inputs import Origin, mark_scored, present_origin, unseen_cases, without_revision
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.adapters.tables import frames
from brats_ml.adapters.tracking.champions import open_champions, unverified
from brats_ml.adapters.tracking.registry import MODELS
from brats_ml.cohort.cases import Case
from brats_ml.cohort.labels import REGIONS, SCHEMES, LabelMap, region_mask
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.config import Params
from brats_ml.config.segmentation import check_preset
from brats_ml.dataset.examination import case_problems
from brats_ml.dataset.preprocessing import preprocess_case
from brats_ml.errors import CaseError, EmptyCohortError, MissingInputError, ModelError, StorageError
from brats_ml.imaging.geometry import uncrop
from brats_ml.models.removal import removal_flags, removal_record
from brats_ml.models.segmentation import segmentation_model
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.models.survival import SurvivalModel
from brats_ml.report import Report
from brats_ml.survival.features import MORE, case_features
from brats_ml.survival.summary import PROBABILITIES
from brats_ml.workspace import Workspace
from brats_ml.workspace.artefact import Named
from brats_ml.workspace.outputs import ModelFolder, PredictionFolder, PredictionsFolder, SurvivalFolder

SYNTHETIC = "by a model of synthetic patients"


@dataclass(frozen=True)
class Batch:
    """The models of one scoring run, loaded once, and the inputs of its predictions."""

    origin: Origin
    segment: SegmentationModel
    classify: SurvivalModel | None


def run(
    ws: Workspace,
    params: Params,
    *,
    cases: Path | None = None,
    output: Path | None = None,
    only: Sequence[str] = (),
    preset: str | None = None,
) -> Report:
    """Score every case in `cases` that has no up-to-date prediction in `output`; a bad case does not stop the others.

    Args:
        ws: The checkout.
        params: Its parameters; the rules of `validate` hold for unseen cases too.
        cases: Folder with one folder a case and, optionally, a clinical table; the inbox by default.
        output: Each case gets a folder in here; the checkout's predictions by default.
        only: Names of the cases to score, where some may be gone by now; all by default.
        preset: One of `PRESETS`; by default the one that the champion was registered with.

    Raises:
        EmptyCohortError: There is no case, or all cases of a folder are refused.
        ModelError: There is no segmentation champion.
        ConfigError: There is no such preset, or `output` and `cases` overlap.
        StorageError: A folder in `output` has the name of a case and is no prediction; the other cases are scored.
    """
    if preset is not None:
        check_preset(preset)
    source, target = ws.unseen(cases), ws.predictions(output)
    refuse_overlap(source.path, target.path)
    found = _found(source, only)
    champions = open_champions(ws.state)
    registry = champions.registry
    origin = present_origin(ws, params, source.path, champions, preset=preset)
    notes = [champions.repair(name) for name in MODELS.values()]
    notes += [unverified(origin.segmentation), unverified(origin.survival)]
    survival = None if origin.survival is None else SurvivalModel(SurvivalFolder(registry.fetch(origin.survival)))
    segment = segmentation_model(ws, params, ModelFolder(registry.fetch(origin.segmentation)), preset=preset)
    console = Console(stderr=True)
    if segment.preset:
        console.print(segment.cost(), highlight=False)
    batch = Batch(origin, segment, survival)
    counts = {"scored": 0, "kept": 0, "refused": 0}
    blocked = []
    for case in track(found, "scoring", console=console):
        fingerprint = origin.fingerprint(case)
        try:
            refuse_foreign(target.case(case.case_id))
        except StorageError as error:
            blocked.append(error)
            continue
        counts[_score(batch, case, target)] += 1
        mark_scored(target, case, fingerprint)
    with locks.exclusive(target.lock, holder="another shard, which lists the predictions"):
        _write_table(target)
    if blocked:
        raise blocked[0]
    if counts["refused"] == len(found) and not only:
        raise EmptyCohortError(f"all {len(found)} cases of {source} were refused: see {target.table}")
    counts["gone"] = max(0, len(set(only)) - len(found))
    done = ", ".join(f"{count} {state}" for state, count in counts.items() if count or state != "gone")
    by = (
        f"survival by {origin.survival}"
        if origin.survival
        else (origin.incompatibility or "there is no survival model")
    )
    said = f"{done}; label maps by {origin.segmentation} ({segment.spent()}), {by}"
    return Report("score", "; ".join((said, *filter(None, notes))))


def _found(source: Named, only: Sequence[str]) -> list[Case]:
    found = unseen_cases(source)
    if not found:
        raise EmptyCohortError(f"{source} holds no case that is named as in BraTS: put one folder a case there")
    wanted = [case for case in found if not only or case.case_id in only]
    if not wanted:
        raise EmptyCohortError(f"{source} holds no case {', '.join(sorted(only))}")
    return wanted


def _score(batch: Batch, case: Case, target: PredictionsFolder) -> str:
    """Score a case unless its prediction is up to date; an earlier prediction with a label map is kept."""
    origin, folder = batch.origin.of(case), target.case(case.case_id)
    if folder.prediction.path.exists():
        known = files.read_json(folder.prediction)
        same = without_revision(known["provenance"]) == without_revision(origin)
        if same and known["status"] == "scored":
            return "kept"
        if known["status"] == "scored":
            keep_earlier(target, case.case_id, known)
    record: dict[str, Any] = {"case_id": case.case_id, "patient": case.patient, "provenance": origin}
    with files.replacing(folder) as unfinished:
        written = PredictionFolder(unfinished)
        try:
            record |= {"status": "scored", **_predict(batch, case, written)}
        except CaseError as error:
            record |= {"status": "refused", "reason": error.reason}
        files.write_json(written.prediction, record)
    return str(record["status"])


def _predict(batch: Batch, case: Case, folder: PredictionFolder) -> dict[str, Any]:
    problems = case_problems(batch.origin.source, case, batch.origin.rules)
    if problems:
        raise CaseError(case.case_id, "; ".join(problems))
    prepared, grid = preprocess_case(batch.origin.source, case)
    image = uncrop(prepared.image, prepared.start, prepared.full_shape)
    try:
        labels, _ = batch.segment(image, spacing_mm=grid.spacing_mm)
    except ModelError as error:
        raise CaseError(case.case_id, str(error)) from error
    stored = grid.to_stored(SCHEMES[case.scheme].from_canonical(labels))
    write_volume(folder.labels(case.case_id), stored, grid)
    volumes = _volumes_mm3(labels, grid)
    return {
        "volume_mm3": volumes,
        "flags": [SYNTHETIC] * batch.origin.segmentation.synthetic
        + [f"no {region} found" for region, volume in volumes.items() if not volume]
        + removal_flags(batch.segment.removed),
        "removed": removal_record(batch.segment.removed),
        "survival": _survival(batch, case, labels, image),
    }


def _volumes_mm3(labels: LabelMap, grid: VoxelGrid) -> dict[str, float]:
    voxel = math.prod(grid.spacing_mm)
    return {region: round(float(region_mask(labels, region).sum()) * voxel, 3) for region in REGIONS}


def _survival(batch: Batch, case: Case, labels: LabelMap, image: Any) -> dict[str, Any]:
    if batch.classify is None:
        return {"group": None, "reason": batch.origin.incompatibility or "there is no survival model"}
    wanted = batch.classify.features
    more = [group for group, names in MORE.items() if set(names) & set(wanted)]
    measured = case_features(labels, image[MODALITIES.index("t1")], more=more)
    features = measured | {"age_years": batch.origin.age_years(case)}
    predicted: dict[str, Any] = dict(batch.classify(pd.DataFrame([features])).iloc[0])
    if predicted["reason"] is not None:
        return {"group": None, "reason": predicted["reason"]}
    return {**predicted, "masks": batch.classify.masks, "features": {name: features[name] for name in wanted}}


def _write_table(target: PredictionsFolder) -> None:
    rows = []
    for folder in target.cases():
        # Another shard may be replacing this prediction; it writes the table afterwards.
        with suppress(MissingInputError):
            rows.append(_row(files.read_json(folder.prediction)))
    frames.write_csv(target.table, pd.DataFrame(rows))


def _row(record: dict[str, Any]) -> dict[str, Any]:
    models = record["provenance"]
    volumes = record.get("volume_mm3", {})
    survival = record.get("survival", {})
    return {
        "case_id": record["case_id"],
        "patient": record["patient"],
        "status": record["status"],
        "reason": record.get("reason"),
        **{f"{region}_mm3": volumes.get(region) for region in REGIONS},
        "flags": "; ".join(record.get("flags", [])),
        "survival_group": survival.get("group"),
        "survival_reason": survival.get("reason"),
        **{name: survival.get(name) for name in (*PROBABILITIES, "expected_days")},
        **{
            f"{kind}_model": models[kind] and f"{models[kind]['name']} v{models[kind]['version']}"
            for kind in ("segmentation", "survival")
        },
        "segmentation_run_id": models["segmentation"]["run_id"],
        "code": models["code"].get("commit"),
        "data": files.digest_value(models["data"]),
    }
