"""The DAG brats_reproduce: evaluate the champions again from their own code, data and parameters, on a schedule."""

from datetime import timedelta
from pathlib import Path
from typing import get_args

from airflow.sdk import DAG
from airflow.timetables.trigger import CronTriggerTimetable

from brats_ml.orchestration.dag.form_fields import field
from brats_ml.orchestration.dag.form_values import ModelName
from brats_ml.orchestration.dag.kept import kept_params
from brats_ml.orchestration.dag.notifications import RunNotifier
from brats_ml.orchestration.dag.rendering import RETRY, RUN_TYPES
from brats_ml.orchestration.dag.reproduce import ReproduceOperator

DOC = """
# Reproduce the champions

Each task runs `brats reproduce` for one model: it checks out the commit that made the champion, puts its parameters and
data in place, evaluates it again and compares every result with the first one. A task fails if something differs or is
gone, and the last line of its log names the first such input. Nothing of the registry and the ledger changes.

`orchestration.reproduce` in params.yaml sets the schedule.
"""
MODELS = list(get_args(ModelName))

checkout = Path(__file__).resolve().parents[1]
schedule = kept_params(checkout).orchestration.reproduce

with DAG(
    dag_id="brats_reproduce",
    description="Do the champions still come out the same?",
    doc_md=DOC,
    tags=["brats", "operations"],
    default_args={"owner": "brats_ml"},
    schedule=CronTriggerTimetable(schedule, timezone="UTC") if schedule else None,
    catchup=False,
    allowed_run_types=RUN_TYPES,
    on_failure_callback=RunNotifier("failure"),
    max_active_runs=1,
    params={
        "model": field(
            None, "string", title="Model", help_md="A registered model. Empty: each that has a champion.", enum=MODELS
        ),
        "version": field(
            None, "integer", title="Version", help_md="Number of a version. Empty: the champion.", minimum=1
        ),
        "train": field(False, "boolean", title="Train again", help_md="Also train again.", required=True),
    },
) as dag:
    for model in MODELS:
        ReproduceOperator(
            task_id=model.removeprefix("brats-"),
            model=model,
            doc_md=f"Runs `brats reproduce` for {model}.",
            checkout=str(checkout),
            pool="gpu",
            queue="gpu",
            execution_timeout=timedelta(hours=48),
            **RETRY,
        )
