"""The table of all predictions, one row a case, and the list of those to review, after the cases are scored."""

from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd

from brats_ml import files, locks
from brats_ml.actions.batch_addresses import page_links
from brats_ml.actions.batch_page import write_page
from brats_ml.actions.batch_run import record_batch
from brats_ml.adapters.tables import frames
from brats_ml.cohort.labels import REGIONS
from brats_ml.config import Params
from brats_ml.errors import StorageError
from brats_ml.models.prediction_figures import FURTHER, VOLUMES, in_ml, rounded
from brats_ml.models.prediction_folders import read_record
from brats_ml.report import Report
from brats_ml.survival.summary import PROBABILITIES
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PredictionsFolder

# All other columns of the table hold text.
FLAGS = ("review",)
NUMBERS = (
    *(f"{name}_{unit}" for unit in ("mm3", "ml") for name in (*VOLUMES, *FURTHER)),
    *(f"{region}_{end}_ml" for region in (*REGIONS, *FURTHER) for end in ("low", "high")),
    *("qc_score", "qc_entropy", "qc_disagreement", "qc_distance"),
    *PROBABILITIES,
    *("expected_days", "days_low", "days_high", "model_accuracy", "model_accuracy_low", "model_accuracy_high"),
)


def run(ws: Workspace, params: Params, *, output: Path | None = None) -> Report:
    """Write the table and the page of the predictions in `output`.

    Args:
        ws: The checkout.
        params: Its parameters.
        output: Folder of the predictions; the checkout's by default.

    Raises:
        StorageError: The operating system cannot read a prediction, or a folder has the name of the table.
    """
    target = ws.predictions(output)
    counts, review = write_table(target)
    note = record_batch(ws, target)
    write_page(target, limits=params.follow_up, state=ws.state)
    states = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    said = f"{counts.total()} case(s) in {target.table}" + f": {states}" * bool(states) + review_note(target, review)
    said += f"; {note}" * bool(note)
    links = {"Predictions": target.table.path.resolve().as_uri()} if counts else {}
    return Report(
        "table", said, links=page_links(ws.state, target) | links, details={"cases": dict(counts), "review": review}
    )


def review_note(target: PredictionsFolder, count: int) -> str:
    """Return in words how many cases need a review, and where their list is; nothing if none does."""
    return f"; {count} case(s) need a review, listed worst first in {target.review.path.name}" if count else ""


def write_table(target: PredictionsFolder) -> tuple[Counter[str], int]:
    """Write both tables, and return how many cases have each status and how many need a review.

    A torn prediction has no row until its case is scored again.

    Raises:
        StorageError: The operating system cannot read a prediction, or a folder has the name of the table.
    """
    if not target.path.exists():
        return Counter(), 0
    for path in (target.table.path, target.parquet.path, target.review.path):
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
        rows = _same_columns(rows)
        table = pd.DataFrame(rows, columns=list(rows[0]) if rows else None)
        frames.write_csv(target.table, table)
        frames.write_parquet(target.parquet, table, numbers=NUMBERS, flags=FLAGS)
        review = review_list(table) if rows else table
        frames.write_csv(target.review, review)
    if failed:
        raise failed[0]
    return Counter(row["status"] for row in rows), len(review)


def review_list(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the cases that need a review: the lowest score first, those without a score last."""
    further = [f"{name}_ml" for name in FURTHER if f"{name}_ml" in table]
    wanted = table[table["review"].eq(True)].sort_values(["qc_score", "case_id"], na_position="last", kind="stable")
    return wanted[
        ["case_id", "patient", "qc_score", "review_reasons", *(f"{region}_ml" for region in REGIONS), *further, "flags"]
    ]


def _same_columns(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows without the columns of further labels that no case has."""
    unused = {
        name
        for label in FURTHER
        if all(row[f"{label}_mm3"] is None for row in rows)
        for name in (f"{label}_mm3", f"{label}_ml", f"{label}_low_ml", f"{label}_high_ml")
    }
    return [{name: value for name, value in row.items() if name not in unused} for row in rows]


def _row(record: dict[str, Any]) -> dict[str, Any]:
    models = record["provenance"]
    volumes = record.get("volume_mm3", {})
    survival = rounded(record.get("survival", {}))
    # Records of before have no quality.
    qc = record.get("qc") or {}
    volume_intervals = qc.get("volume_intervals_mm3") or {}
    interval, quality = survival.get("interval_days") or {}, survival.get("model_accuracy") or {}
    return {
        "case_id": record["case_id"],
        "patient": record["patient"],
        "status": record["status"],
        "reason": record.get("reason"),
        # Records of before have no NCR and ED, and no ml.
        **{f"{name}_mm3": volumes.get(name) for name in (*VOLUMES, *FURTHER)},
        **{f"{name}_ml": in_ml(volumes.get(name)) for name in (*VOLUMES, *FURTHER)},
        **{
            f"{region}_{end}_ml": in_ml(volume_intervals.get(region, {}).get(end))
            for region in (*REGIONS, *FURTHER)
            for end in ("low", "high")
        },
        "qc_score": qc.get("score"),
        "review": qc.get("review"),
        "review_reasons": "; ".join(qc.get("reasons", [])),
        **{f"qc_{name}": qc.get(name) for name in ("entropy", "disagreement", "distance")},
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
