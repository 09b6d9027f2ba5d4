"""The run of a batch in MLflow: its figures and the link to its page, and no name of a case."""

from typing import Any

import pandas as pd

from brats_ml import environment, files, locks, mlflow_pages
from brats_ml.actions.batch_addresses import Addresses, add_run, enrol, served_page
from brats_ml.adapters.tables import frames
from brats_ml.adapters.tracking.own_store import tracking_uri
from brats_ml.adapters.tracking.run_facts import origin_tags, run_name
from brats_ml.errors import ServiceError, StorageError
from brats_ml.models.prediction_folders import REFUSED, SCORED, batch_of
from brats_ml.redaction import redacted
from brats_ml.untrusted_text import in_markdown
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PredictionsFolder

MADE_BY = "brats score"


def record_batch(ws: Workspace, target: PredictionsFolder) -> str | None:
    """Let MLflow have one run for a folder of predictions, with its present figures and the link to its page.

    The newest model of the batch links to the run. Each call replaces the lines of an earlier one.

    Args:
        ws: The checkout.
        target: The predictions, with their table.

    Returns:
        One clause if MLflow cannot be used; predictions do not depend on it.
    """
    if not target.parquet.path.exists():
        return None
    table = frames.read_parquet(target.parquet)
    if table.empty:
        return None
    with locks.exclusive(target.lock, holder="another process that lists the predictions"):
        known = enrol(ws.state, target)
    if not environment.MLFLOW_TRACKING_URI.read() and not ws.state.mlflow.database.exists():
        return None  # nobody has published anything here
    try:
        _record(ws, target, known, table)
    except (ServiceError, StorageError) as error:
        return f"the batch is not in MLflow ({error})"
    return None


def _record(ws: Workspace, target: PredictionsFolder, known: Addresses, table: pd.DataFrame) -> None:
    from brats_ml.adapters.tracking.registry import Registry  # they import MLflow
    from brats_ml.adapters.tracking.runs import MlflowTracker

    registry = Registry(tracking_uri(ws.state))
    tracker, name = MlflowTracker(registry.uri), target.path.resolve().name
    tags = origin_tags(ws, "score", made_by=MADE_BY)
    with tracker.run(f"batch-{known.batch}", name=run_name(name, key=known.batch), tags=tags) as run:
        run.log_metrics([figures(table, target)])
        address = served_page(ws.state, known)
        page = f"[{in_markdown(name)}]({address})" if address else in_markdown(target.page.path.resolve().as_uri())
        run.note(
            {
                "Work": in_markdown(MADE_BY),
                "Page": page,
                "Cases": in_markdown(redacted(batch_of(target) or "unknown")),
                "Models": ", ".join(_models(table)) or "none",
                "Result": in_words(figures(table, target)),
            }
        )
    add_run(target, known, experiment=tracker.experiment_id, run=run.run_id)
    link = f"[{in_markdown(name)}]({mlflow_pages.run_link(tracker.experiment_id, run.run_id)})"
    newest = table["segmentation_model"].dropna().iloc[-1:]
    for model, _, number in (str(one).rpartition(" v") for one in newest):
        registry.describe(model, int(number), {"Scored": link})


def figures(table: pd.DataFrame, target: PredictionsFolder) -> dict[str, float]:
    """Return the figures of a batch by their names in MLflow; those that are unknown are left out."""
    counts = table["status"].value_counts()
    found: dict[str, Any] = {
        "cases": len(table),
        "cases.scored": counts.get(SCORED, 0),
        "cases.refused": counts.get(REFUSED, 0),
        "cases.to_review": table["review"].eq(True).sum(),
        "quality.mean_expected_dice": table["qc_score"].mean(),
    }
    if target.drift.path.exists():
        batches = files.read_json(target.drift)["batches"]
        found |= {"drift.batches": len(batches), "drift.alarms": sum(bool(batch.get("alarm")) for batch in batches)}
    return {name: float(value) for name, value in found.items() if not pd.isna(value)}


def in_words(found: dict[str, float]) -> str:
    """Return the figures of a batch as one sentence."""
    counted = {name: f"{value:.0f}" for name, value in found.items()}
    said = (
        f"{counted['cases']} case(s): {counted['cases.scored']} scored, {counted['cases.refused']} refused, "
        f"{counted['cases.to_review']} to review"
    )
    quality = found.get("quality.mean_expected_dice")
    said += f"; mean expected Dice {quality:.2f}" if quality is not None else ""
    if "drift.batches" in found:
        said += f"; drift: {counted['drift.alarms']} alarm(s) in {counted['drift.batches']} batch(es)"
    return said


def _models(table: pd.DataFrame) -> list[str]:
    """Return the models of the predictions, each with a link to its version."""
    named = [table[column].dropna() for column in ("segmentation_model", "survival_model")]
    found = []
    for text in pd.concat(named).drop_duplicates():
        model, _, number = str(text).rpartition(" v")
        found.append(f"[{text}]({mlflow_pages.version_link(model, number)})")
    return found
