"""The DAG brats_janitor: clean up after runs, on a schedule."""

from pathlib import Path

from airflow.sdk import DAG
from airflow.timetables.trigger import CronTriggerTimetable

from brats_ml.orchestration.dag.form_fields import field
from brats_ml.orchestration.dag.janitor import JanitorOperator
from brats_ml.orchestration.dag.kept import kept_params
from brats_ml.orchestration.dag.notifications import RunNotifier
from brats_ml.orchestration.dag.rendering import RETRY, RUN_TYPES

DOC = """
# Clean up

Runs `brats janitor`: trainings in MLflow that show as running and have no process are marked as killed, results that no
kept run needs are removed, and so is what people deleted in MLflow. The log says what was done.

`orchestration.janitor` in params.yaml sets the schedule, and `orchestration.keep_days` the age of what is removed.
"""

checkout = Path(__file__).resolve().parents[1]
schedule = kept_params(checkout).orchestration.janitor

with DAG(
    dag_id="brats_janitor",
    description="End what has no process, free what no run needs",
    doc_md=DOC,
    tags=["brats", "operations"],
    default_args={"owner": "brats_ml"},
    schedule=CronTriggerTimetable(schedule, timezone="UTC") if schedule else None,
    catchup=False,
    allowed_run_types=RUN_TYPES,
    on_failure_callback=RunNotifier("failure"),
    max_active_runs=1,
    params={
        "dry": field(False, "boolean", title="Dry run", help_md="Only say what would be done.", required=True),
    },
) as dag:
    JanitorOperator(task_id="janitor", doc_md="Runs `brats janitor`.", checkout=str(checkout), **RETRY)
