"""Measure the tumours of reference or predicted label maps for the survival classifiers."""

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.progress import track

from brats_ml.adapters import files, nifti
from brats_ml.adapters.arrays import PreprocessedCase, read_case
from brats_ml.adapters.tables import clinical_table, read_table
from brats_ml.cohort.clinical import features_from_table
from brats_ml.cohort.labels import SCHEMES, LabelMap
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.release_files import READY_FEATURES
from brats_ml.config import Params
from brats_ml.errors import CaseError, ConfigError
from brats_ml.stages.identity import present_identities
from brats_ml.stages.report import Report
from brats_ml.survival.features import FEATURES, RATIOS, case_features
from brats_ml.workspace import Workspace

COLUMNS = ("patient", "case_id", *FEATURES, "resection", "survival_days", "event")
MEASURED = ("patient", "case_id", *RATIOS.values())
T1 = MODALITIES.index("t1")


def run(ws: Workspace, params: Params, *, masks: str) -> Report:
    """Write one row of features for every case that has a label map of the kind `masks`.

    Ready-made features (`survival.features_from`) come from reference label maps; where there are some they are the
    whole of `reference`, and nothing is measured.

    Raises:
        ConfigError: `masks` is neither `reference` nor `predicted`.
        CaseError: A case has no brain, or its label map cannot be read.
    """
    if masks not in ("reference", "predicted"):
        raise ConfigError(f"masks {masks} are not known; known are: reference, predicted", key="masks")
    ready = ws.tables / READY_FEATURES
    present = present_identities(ws)
    if masks == "reference" and ready.exists():
        table = features_from_table(read_table(ready), name=ready.name)
        table["patient"] = table["patient"].map(present.patient)
    else:
        records = files.read_json(ws.manifest, made_by="brats validate")["cases"]
        measured = (
            _reference(ws, records) if masks == "reference" else _predicted(ws, records, params.features.predicted_by)
        )
        measured["patient"] = measured["patient"].map(present.patient)
        table = measured.merge(clinical_table(ws.tables, present), on="patient", how="left")
    ordered = table[list(COLUMNS)].sort_values("case_id", ignore_index=True).astype({"event": "Int64"})
    files.write_csv(ws.features(masks), ordered)
    return Report("features", f"{len(ordered)} rows from {masks} label maps, {ordered['event'].count()} with survival")


def _reference(ws: Workspace, records: list[dict[str, Any]]) -> pd.DataFrame:
    labelled = [record for record in records if record["label"] is not None]
    rows = []
    for record in track(labelled, "measuring reference label maps", console=Console(stderr=True)):
        case = _preprocessed(ws, record["case_id"])
        if case.label is not None:
            rows.append(_row(record, case.label, case))
    return pd.DataFrame(rows, columns=list(MEASURED))


def _predicted(ws: Workspace, records: list[dict[str, Any]], recipe: str) -> pd.DataFrame:
    folder = ws.evaluation("test", recipe)
    files.require(folder / "summary.json", made_by=f"brats evaluate --recipe {recipe}")
    known = {record["case_id"]: record for record in records}
    paths = sorted((folder / "masks").glob("*.nii.gz"))
    rows = []
    for path in track(paths, "measuring predicted label maps", console=Console(stderr=True)):
        record = known[path.name.removesuffix(".nii.gz")]
        rows.append(_row(record, _read_labels(path, record["scheme"]), _preprocessed(ws, record["case_id"])))
    return pd.DataFrame(rows, columns=list(MEASURED))


def _preprocessed(ws: Workspace, case_id: str) -> PreprocessedCase:
    return read_case(files.require(ws.preprocessed / f"{case_id}.npz", made_by="brats preprocess"))


def _read_labels(path: Path, scheme: str) -> LabelMap:
    stored = nifti.read_volume(path)
    return SCHEMES[scheme].to_canonical(stored.grid.to_canonical(stored.array))


def _row(record: dict[str, Any], labels: LabelMap, case: PreprocessedCase) -> dict[str, Any]:
    """Return one row; counts need no common grid, so `labels` may be whole where the images are cropped."""
    try:
        ratios = case_features(labels, case.image[T1])
    except ValueError as error:
        raise CaseError(record["case_id"], str(error)) from error
    return {"patient": record["patient"], "case_id": record["case_id"], **ratios}
