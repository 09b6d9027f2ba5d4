"""The header of the report and its description of the cohort."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from brats_ml import files
from brats_ml.adapters import provenance
from brats_ml.adapters.tables import frames
from brats_ml.cohort.splits import PARTS
from brats_ml.cohort.synthetic import all_synthetic
from brats_ml.config import Params
from brats_ml.redaction import redacted
from brats_ml.reports.cohort_section import Description, case_values, cohort_figure, descriptions, medians
from brats_ml.reports.header import Header
from brats_ml.reports.page import Picture
from brats_ml.reports.panels import figure_png
from brats_ml.workspace import Workspace


def header(ws: Workspace, params: Params) -> Header:
    """Return what the report is about.

    The date is that of the commit, since equal inputs have to give equal bytes. If no input changed, DVC restores the
    report, so the commit is the one that computed the figures.
    """
    listing = files.read_json(ws.listing)
    cases = _valid_cases(ws)
    parts = files.read_json(ws.splits)["patients"]
    of_part = Counter(parts.get(patient) for patient in {case["patient"] for case in cases})
    revision = provenance.revision(ws.root)
    verdicts = {name: files.read_json(ws.model(name).verdict) for name in params.train.recipes}
    return Header(
        date=provenance.commit_date(ws.root),
        commit=revision.get("commit"),
        dirty=revision.get("dirty") == "true",
        source=redacted(listing["source"]),
        cohort=files.digest_value(listing)[:12],
        synthetic=all_synthetic(listing),
        cases=len(cases),
        releases=dict(sorted(Counter(case["scheme"] for case in cases).items())),
        patients={part: of_part[part] for part in PARTS},
        runs={name: verdict["key"] for name, verdict in verdicts.items() if "key" in verdict},
        validation=Path(os.path.relpath(ws.validation.page, ws.reports)).as_posix(),
    )


def cohort(ws: Workspace, reference: pd.DataFrame) -> tuple[list[Description], list[Picture]]:
    """Return the description of the training and validation patients, and its picture.

    Args:
        ws: The checkout.
        reference: The features from reference label maps, which have the ages.
    """
    patient_of = {case["case_id"]: case["patient"] for case in _valid_cases(ws)}
    headers = frames.read_csv(ws.validation.headers)
    values = case_values(headers[headers["case_id"].isin(patient_of)])
    values["patient"] = values.index.map(patient_of)
    parts = files.read_json(ws.splits)["patients"]
    rows = descriptions(values, reference, parts)
    figure = cohort_figure(values, reference, parts)
    caption = "Each point is a patient or a case, each bar a median"
    return rows, [Picture(caption, figure_png(figure), f"Ages, tumour volumes and intensities. {medians(rows)}.")]


def _valid_cases(ws: Workspace) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = files.read_json(ws.validation.manifest)["cases"]
    return found
