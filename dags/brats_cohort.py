"""The DAG brats_cohort: check the source, and announce a cohort that is new and valid."""

from pathlib import Path

from airflow.sdk import DAG
from airflow.timetables.trigger import CronTriggerTimetable

from brats_ml.orchestration.dag.assets import AnnounceOperator
from brats_ml.orchestration.dag.form_fields import revision_field, source_field
from brats_ml.orchestration.dag.form_values import CohortForm
from brats_ml.orchestration.dag.kept import kept_params
from brats_ml.orchestration.dag.notifications import RunNotifier
from brats_ml.orchestration.dag.rendering import RUN_TYPES, DvcPipeline

DOC = """
# Check the source for a new cohort

This DAG runs the stages of `dvc.yaml` up to `validate`. If the validated cohort differs from the one announced last,
`announce` updates the asset `brats_cohort`. The update starts `brats_train` on the same revision and source.

`orchestration.watch` in params.yaml sets the schedule.
"""

checkout = Path(__file__).resolve().parents[1]
watch = kept_params(checkout).orchestration.watch
pipeline = DvcPipeline(checkout, stages=["validate"])

with DAG(
    dag_id="brats_cohort",
    description="From the source to a validated cohort",
    doc_md=DOC,
    tags=["brats", "data"],
    default_args={"owner": "brats_ml"},
    schedule=CronTriggerTimetable(watch, timezone="UTC") if watch else None,
    catchup=False,
    allowed_run_types=RUN_TYPES,
    on_failure_callback=RunNotifier("failure"),
    max_active_runs=1,
    params={
        "revision": revision_field(),
        "source": source_field(),
    },
) as dag:
    announce = AnnounceOperator(
        task_id="announce", doc_md="Updates the asset `brats_cohort` if the cohort is new.", checkout=str(checkout)
    )
    stages = pipeline.stages(after=pipeline.open(form=CohortForm))
    pipeline.last(stages) >> announce >> pipeline.close()
