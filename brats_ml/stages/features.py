"""Measure the tumours in reference or predicted label maps for the survival estimators."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import track

from brats_ml import files
from brats_ml.adapters.case_files.array_file import PreprocessedCase, read_case
from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.adapters.tables import frames
from brats_ml.adapters.tables.clinical import clinical_table, read_table
from brats_ml.cohort.case_labels import writing_scheme
from brats_ml.cohort.clinical import features_from_table
from brats_ml.cohort.labels import SCHEMES, LabelMap, LabelScheme
from brats_ml.cohort.modalities import MODALITIES, available
from brats_ml.cohort.release_files import READY_FEATURES
from brats_ml.config import Params
from brats_ml.config.survival import check_masks
from brats_ml.dataset.identities import present_identities
from brats_ml.dataset.label_sets import of_preprocessed
from brats_ml.errors import CaseError
from brats_ml.imaging.geometry import uncrop
from brats_ml.report import Report
from brats_ml.survival.features import AGE, BRAIN, case_features, columns
from brats_ml.workspace import Workspace

# Each patient here was predicted by a network that was not trained on them.
PARTS = ("validation", "test", "out_of_fold")


def run(ws: Workspace, params: Params, *, masks: str) -> Report:
    """Write one row of features for every case that has a label map of the kind `masks`.

    Ready-made features (`survival.features_from`) come from reference label maps; where a table of them is given, it
    replaces the measurement of `reference`.

    Raises:
        ConfigError: `masks` is neither `reference` nor `predicted`.
        CaseError: A case has no brain, or its label map cannot be read.
    """
    check_masks(masks)
    ready = ws.tables.path / READY_FEATURES
    present = present_identities(ws)
    names = columns(params.survival.features)
    if masks == "reference" and ready.exists():
        table = features_from_table(read_table(ready), name=ready.name).assign(masks="reference")
        table["patient"] = table["patient"].map(present.patient)
    else:
        rows = (
            _reference(ws, more=params.survival.features)
            if masks == "reference"
            else _predicted(ws, params.features.predicted_by, more=params.survival.features)
        )
        measured = [name for name in names if name != AGE]
        found = pd.DataFrame(rows, columns=["patient", "case_id", "masks", *measured])
        found["patient"] = found["patient"].map(present.patient)
        table = found.merge(clinical_table(ws.tables.path, present), on="patient", how="left")
    kept = ["patient", "case_id", "masks", *names, "resection", "survival_days", "event"]
    ordered = table[kept].sort_values("case_id", ignore_index=True).astype({"event": "Int64"})
    frames.write_csv(ws.features(masks), ordered)
    return Report("features", f"{len(ordered)} rows from {masks} label maps, {ordered['event'].count()} with survival")


def _reference(ws: Workspace, *, more: Sequence[str]) -> list[dict[str, Any]]:
    records = files.read_json(ws.validation.manifest)["cases"]
    labelled = [record for record in records if record["label"] is not None]
    rows = []
    for record in track(labelled, "measuring reference label maps", console=Console(stderr=True)):
        case = read_case(ws.preprocessed.case(record["case_id"]))
        if case.label is not None:
            labels = uncrop(case.label, case.start, case.full_shape)
            rows.append(_row(record, labels, case, masks="reference", more=more))
    return rows


def _predicted(ws: Workspace, recipe: str, *, more: Sequence[str]) -> list[dict[str, Any]]:
    """Measure the masks that `recipe` predicted; it was not trained on any of these patients."""
    known = {record["case_id"]: record for record in files.read_json(ws.validation.manifest)["cases"]}
    masks: list[tuple[str, Path]] = []
    for part in PARTS:
        folder = ws.evaluation(part, recipe)
        files.require(folder.summary)
        masks += folder.masks().items()
    rows, label_set = [], of_preprocessed(ws.preprocessed)
    for case_id, path in track(masks, "measuring predicted label maps", console=Console(stderr=True)):
        record = known[case_id]
        scheme = SCHEMES[writing_scheme(case_id, record["scheme"], label_set)]
        case, labels = read_case(ws.preprocessed.case(case_id)), _read_labels(path, scheme)
        rows.append(_row(record, labels, case, masks=recipe, more=more))
    return rows


def _read_labels(path: Path, scheme: LabelScheme) -> LabelMap:
    stored = read_volume(path)
    return scheme.to_canonical(stored.grid.to_canonical(stored.array))


def _row(
    record: dict[str, Any], labels: LabelMap, case: PreprocessedCase, *, masks: str, more: Sequence[str]
) -> dict[str, Any]:
    image = case.image[MODALITIES.index(available(BRAIN, record["images"]))]
    try:
        found = case_features(labels, uncrop(image, case.start, case.full_shape), more=more)
    except ValueError as error:
        raise CaseError(record["case_id"], str(error)) from error
    return {"patient": record["patient"], "case_id": record["case_id"], "masks": masks, **found}
