"""Clean up after runs: end MLflow runs without a process, free what no kept run needs, empty MLflow's bin."""

from brats_ml.adapters.tracking.cleaning import end_abandoned_runs, remove_deleted
from brats_ml.adapters.tracking.own_store import tracking_uri
from brats_ml.adapters.tracking.runs import MlflowTracker
from brats_ml.config import Params
from brats_ml.errors import ServiceError
from brats_ml.orchestration.runs import retention
from brats_ml.report import Report
from brats_ml.workspace import Workspace


def run(ws: Workspace, params: Params, *, dry: bool = False) -> Report:
    """Clean up, and print one line for each thing that was done.

    If a task is at work, nothing is freed, and the next call does it.

    Args:
        ws: The checkout.
        params: Its parameters; `orchestration.keep_days` is the age of what is removed.
        dry: Change nothing; the lines then say what would be done.

    Raises:
        ServiceError: MLflow cannot be used.
        StorageError: A record is damaged, so nobody knows what the run needs.
    """
    keep_days = params.orchestration.keep_days
    tracker = MlflowTracker(tracking_uri(ws.state))
    done = {"ended": end_abandoned_runs(tracker, ws.state, dry=dry)}
    try:
        freed = retention.prune(ws.root, keep_days=keep_days, dry=dry)
        done["freed"] = [line for line in freed if not line.startswith("No unused")]
    except ServiceError as error:
        done["freed"] = [f"nothing is freed: {error}"]
    done["removed"] = remove_deleted(tracker, ws.state, keep_days=keep_days, dry=dry)
    lines = [line for part in done.values() for line in part]
    print(*lines, sep="\n", end="\n" if lines else "")
    summary = f"{len(lines)} thing(s) to report" if lines else "nothing to do"
    return Report("janitor", f"{summary}{', and nothing was changed' if dry else ''}", details=done)
