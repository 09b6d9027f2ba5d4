"""Write predictions as a derivative dataset of BIDS."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brats_ml import __version__, files
from brats_ml.cohort.bids import VERSION, BidsCase
from brats_ml.cohort.labels import SCHEMES, TITLES
from brats_ml.config import Params
from brats_ml.errors import EmptyCohortError, SourceError
from brats_ml.models.prediction_figures import label_set_of
from brats_ml.models.prediction_folders import SCORED, read_record
from brats_ml.report import Report
from brats_ml.reports.panels import COLOURS
from brats_ml.workspace import Workspace
from brats_ml.workspace.bids import DerivativesFolder
from brats_ml.workspace.outputs import PredictionFolder

README = """Brain tumours, segmented by registered models of brats_ml. Each label map has the grid of its scans. The
sidecar of a label map names the model and the digests of the scans. Not for diagnosis.
"""


def run(ws: Workspace, params: Params, *, target: Path, output: Path | None = None) -> Report:
    """Write the label map of each scored case, the meaning of its values, and what made it.

    Args:
        ws: The checkout.
        params: Its parameters.
        target: The new dataset.
        output: The folder of the predictions; that of the checkout by default.

    Raises:
        EmptyCohortError: No case is scored.
        SourceError: The target exists, or two cases would get the same name.
    """
    if target.exists():
        raise SourceError(target, "exists already; name a new folder")
    predictions = ws.predictions(output)
    scored = {
        record["case_id"]: (folder, record)
        for folder in predictions.cases()
        if (record := read_record(folder)) is not None and record["status"] == SCORED
    }
    if not scored:
        raise EmptyCohortError(f"{predictions} holds no scored case: run `brats score` first")
    names = {case_id: BidsCase.of(case_id) for case_id in scored}
    twice = next((name for name, count in Counter(names.values()).items() if count > 1), None)
    if twice is not None:
        both = sorted(case_id for case_id, name in names.items() if name == twice)
        raise SourceError(predictions.path, f"holds {' and '.join(both)}, which BIDS would give one name; rename one")
    with files.replacing(target) as unfinished:
        dataset = DerivativesFolder(unfinished)
        generated = [{"Name": "brats_ml", "Version": __version__}]
        description = {"Name": "Brain tumour segmentations", "BIDSVersion": VERSION, "DatasetType": "derivative"}
        files.write_json(dataset.description, description | {"GeneratedBy": generated})
        with files.replacing(dataset.readme) as readme:
            readme.write_text(README)
        for case_id, (folder, record) in scored.items():
            _write(dataset, names[case_id], folder, record)
    return Report("derivatives", f"{len(scored)} case(s) as a BIDS dataset in {target}")


def _write(dataset: DerivativesFolder, name: BidsCase, folder: PredictionFolder, record: Mapping[str, Any]) -> None:
    made = dataset.labels(name.label_map)
    made.parent.mkdir(parents=True, exist_ok=True)
    files.copy(folder.labels(record["case_id"]), made)
    origin = record["provenance"]
    model = origin["segmentation"]
    sidecar = {
        "Description": f"Brain tumour by {model['name']} version {model['version']}",
        "Manual": False,
        "SpatialReference": "orig",
        "ModelDigest": model["digest"],
        "SourceDigests": origin["data"],
        "VolumesMm3": record["volume_mm3"],
    }
    files.write_json(dataset.sidecar(name.label_map), sidecar)
    labels = label_set_of(record["volume_mm3"]).labels
    values = SCHEMES[origin["labels"]].values
    rows = ["index\tname\tcolor", *(f"{values[label]}\t{TITLES[label]}\t{COLOURS[label]}" for label in labels)]
    with files.replacing(dataset.table(name.label_map)) as table:
        table.write_text("\n".join(rows) + "\n")
