"""The DAG brats_study: complete studies of a node of DICOMweb, there and back."""

from pathlib import Path

from airflow.sdk import DAG
from airflow.timetables.trigger import CronTriggerTimetable

from brats_ml.orchestration.dag.form_fields import revision_field
from brats_ml.orchestration.dag.kept import kept_params
from brats_ml.orchestration.dag.notifications import RunNotifier
from brats_ml.orchestration.dag.rendering import RUN_TYPES, DvcPipeline
from brats_ml.orchestration.dag.study import StudiesOperator, take_each

DOC = """
# Take studies from the node and their results back

`find` looks for studies with a number of images that has not changed for `study.node.stable_seconds`, and without
results. While there is none, it waits in the triggerer and takes no worker. Each study then has a group of tasks named
`study`: `receive`, `convert`, `prepare`, `score`, `restore`, `export`, `send`.

A study that is unclear, or that the model refuses, fails with the reason and is not tried again; the others go on. What
an interrupted run has done is not done again, and an object that the node has is not sent again.
"""
LOOKS = 10

checkout = Path(__file__).resolve().parents[1]
params = kept_params(checkout)
cron = params.orchestration.studies
pipeline = DvcPipeline(checkout)

with DAG(
    dag_id="brats_study",
    description="Studies of a DICOM node, there and back",
    doc_md=DOC,
    tags=["brats", "scoring", "dicom"],
    default_args={"owner": "brats_ml"},
    schedule=CronTriggerTimetable(cron, timezone="UTC") if cron else None,
    catchup=False,
    allowed_run_types=RUN_TYPES,
    on_failure_callback=RunNotifier("failure"),
    max_active_runs=1,
    params={"revision": revision_field()},
) as dag:
    opened = pipeline.open()
    find = pipeline.command(
        "find",
        operator=StudiesOperator,
        every_seconds=params.study.node.stable_seconds,
        looks=LOOKS,
        doc_md="Looks for complete studies without results, and waits for one.",
    )
    opened >> find
    take_each(pipeline, find.output) >> pipeline.close()
