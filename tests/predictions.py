"""Predictions without a model: the reference label maps of a cohort, with records as scoring writes them."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brats_ml import files
from brats_ml.actions.page_volumes import remember_scans
from brats_ml.actions.unseen_cases import list_unseen
from brats_ml.adapters.nifti.volume import read_volume, write_volume
from brats_ml.models.prediction_folders import write_record
from brats_ml.workspace.artefact import Named
from brats_ml.workspace.outputs import PredictionsFolder

SURVIVAL = {
    "group": "mid",
    "reason": None,
    "probability_short": 0.3,
    "probability_mid": 0.5,
    "probability_long": 0.2,
    "expected_days": 402.0,
    "curve_days": [30.0, 200.0, 400.0, 900.0],
    "curve_alive": [0.97, 0.7, 0.4, 0.05],
    "interval_days": {"low": 200.0, "high": 900.0},
    "caveat": "for research, not for diagnosis or treatment",
}


def predict_by_reference(target: PredictionsFolder, cohort: Path, records: Mapping[str, Mapping[str, Any]]) -> None:
    """Write a prediction for each labelled case of a cohort; `records` has more keys of a record by case."""
    for unseen in list_unseen(Named(cohort, "a cohort of the test")).cases:
        case = unseen.case
        if case.label is None:
            continue
        folder = target.case(case.case_id)
        shutil.rmtree(folder.path, ignore_errors=True)
        folder.path.mkdir(parents=True)
        reference = read_volume(cohort / case.label)
        write_volume(folder.labels(case.case_id), reference.array.astype(np.uint8), reference.grid)
        data = {role: files.digest_file(cohort / name) for role, name in case.images.items()}
        volumes = {
            name: 1000.0 * size for name, size in zip(("WT", "TC", "ET", "NCR", "ED"), range(5, 0, -1), strict=True)
        }
        record = {
            "case_id": case.case_id,
            "patient": case.patient,
            "status": "scored",
            "provenance": {**provenance(), "data": data, "labels": case.scheme},
            "volume_mm3": volumes,
            "flags": [],
            "survival": SURVIVAL,
        }
        write_record(folder, record | dict(records.get(case.case_id, {})))
        remember_scans(target, cohort, unseen)


def provenance() -> dict[str, Any]:
    """Return the models and the code of a record."""
    return {
        "segmentation": {"name": "brats-segmentation", "version": 3, "run_id": "0", "digest": "0"},
        "survival": None,
        "code": {"digest": "0"},
        "data": {},
        "labels": "brats2017-2021",
        "age_years": 61.0,
    }
