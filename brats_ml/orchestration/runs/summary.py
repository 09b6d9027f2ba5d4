"""What the records say about runs of Airflow, for a person who asks how they are."""

from dataclasses import dataclass
from datetime import UTC, datetime

from brats_ml.orchestration.runs import outcomes
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.run import Run


@dataclass(frozen=True)
class RunSummary:
    """One run of a DAG.

    Attributes:
        dag: The DAG.
        run: The run id that Airflow shows.
        state: `closed` after its last task, `open` before; Airflow knows more, if it runs.
        promoted: Whether a model of the run became champion.
        revision: The commit that the run works on; None before its first task.
        used: When a task last used its workspace, in ISO 8601 and UTC.
        failure: The last failed task and its sentence, None if no task of the run has failed.
    """

    dag: str
    run: str
    state: str
    promoted: bool
    revision: str | None
    used: str
    failure: str | None


def summaries(locations: Locations, *, most: int) -> list[RunSummary]:
    """Return the runs that were used last, the last one first; at most `most`."""
    return [_summary(run) for run in reversed(Run.all(locations)[-most:])]


def _summary(run: Run) -> RunSummary:
    pin = run.pinned()
    used = datetime.fromtimestamp(run.record.pin.stat().st_mtime, UTC)
    return RunSummary(
        dag=run.dag_id,
        run=run.run_id,
        state="closed" if pin and pin.closed else "open",
        promoted=bool(pin and pin.promoted),
        revision=pin.revision if pin else None,
        used=used.isoformat(timespec="seconds"),
        failure=_failure(run),
    )


def _failure(run: Run) -> str | None:
    """Return the last outcome of the run's tasks that is an error."""
    last = None
    for task, path in run.record.outcomes().items():
        outcome = outcomes.read(path)
        if outcome is not None and outcome.error is not None:
            last = f"{task}: {outcome.sentence}"
    return last
