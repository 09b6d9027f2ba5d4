"""The table of all predictions, one row a case, written once after the cases are scored."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from brats_ml import files, locks
from brats_ml.adapters.tables import frames
from brats_ml.config import Params
from brats_ml.errors import StorageError
from brats_ml.models.prediction_figures import VOLUMES, in_ml, rounded
from brats_ml.models.prediction_folders import read_record
from brats_ml.report import Report
from brats_ml.survival.summary import PROBABILITIES
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PredictionsFolder


def run(ws: Workspace, params: Params, *, output: Path | None = None) -> Report:
    """Write the table of the predictions in `output`.

    Args:
        ws: The checkout.
        params: Its parameters.
        output: Folder of the predictions; the checkout's by default.

    Raises:
        StorageError: The operating system cannot read a prediction, or a folder has the name of the table.
    """
    target = ws.predictions(output)
    counts = write_table(target)
    states = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    said = f"{counts.total()} case(s) in {target.table}" + f": {states}" * bool(states)
    links = {"Predictions": target.table.path.resolve().as_uri()} if counts else {}
    return Report("table", said, links=links, details={"cases": dict(counts)})


def write_table(target: PredictionsFolder) -> Counter[str]:
    """Write the table and return how many of its cases have each status.

    A torn prediction has no row until its case is scored again.

    Raises:
        StorageError: The operating system cannot read a prediction, or a folder has the name of the table.
    """
    if not target.path.exists():
        return Counter()
    path = target.table.path
    if path.is_dir():
        raise StorageError(f"{path} is a folder, and the table of predictions needs the name: move it away")
    rows, failed = [], []
    with locks.exclusive(target.lock, holder="another process that lists the predictions"):
        for folder in target.cases():
            try:
                record = read_record(folder)
            except StorageError as error:
                failed.append(error)
                continue
            if record is not None:
                rows.append(_row(record))
        frames.write_csv(target.table, pd.DataFrame(rows))
    if failed:
        raise failed[0]
    return Counter(row["status"] for row in rows)


def _row(record: dict[str, Any]) -> dict[str, Any]:
    models = record["provenance"]
    volumes = record.get("volume_mm3", {})
    survival = rounded(record.get("survival", {}))
    interval, quality = survival.get("interval_days") or {}, survival.get("model_accuracy") or {}
    return {
        "case_id": record["case_id"],
        "patient": record["patient"],
        "status": record["status"],
        "reason": record.get("reason"),
        # Records of before have no NCR and ED, and no ml.
        **{f"{name}_mm3": volumes.get(name) for name in VOLUMES},
        **{f"{name}_ml": in_ml(volumes.get(name)) for name in VOLUMES},
        "flags": "; ".join(record.get("flags", [])),
        "survival_group": survival.get("group"),
        "survival_reason": survival.get("reason"),
        **{name: survival.get(name) for name in (*PROBABILITIES, "expected_days")},
        "days_low": interval.get("low"),
        "days_high": interval.get("high"),
        "model_accuracy": quality.get("accuracy"),
        "model_accuracy_low": quality.get("low"),
        "model_accuracy_high": quality.get("high"),
        "survival_caveat": survival.get("caveat"),
        **{
            f"{kind}_model": models[kind] and f"{models[kind]['name']} v{models[kind]['version']}"
            for kind in ("segmentation", "survival")
        },
        "segmentation_run_id": models["segmentation"]["run_id"],
        "code": models["code"].get("commit"),
        "data": files.digest_value(models["data"]),
    }
