"""The DAG brats_score: score unseen cases with the champions."""

from pathlib import Path

from airflow.sdk import DAG, TriggerRule
from airflow.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.trigger import CronTriggerTimetable

from brats_ml.config.segmentation import PRESETS
from brats_ml.orchestration.dag.assets import CHAMPIONS, PREDICTIONS
from brats_ml.orchestration.dag.form_fields import field, revision_field
from brats_ml.orchestration.dag.form_values import ScoreForm
from brats_ml.orchestration.dag.kept import kept_params
from brats_ml.orchestration.dag.notifications import RunNotifier
from brats_ml.orchestration.dag.operators import ShardOperator
from brats_ml.orchestration.dag.rendering import ACTION_TIMEOUT, RETRY, RUN_TYPES, RUN_UNLESS_FAILED, DvcPipeline
from brats_ml.orchestration.dag.scoring import (
    INBOX,
    DriftOperator,
    OpenForCasesOperator,
    PendingOperator,
    TableOperator,
)

DOC = """
# Score unseen cases with the champions

If all cases have a prediction by the current champions, `open` ends the run and Airflow skips the other tasks.
Otherwise `pending` divides the cases without one into shards. Each task of `score` has the name of its first case. It
predicts a label map for every case of its shard. If there is a survival champion, it also predicts the survival group
of the patient. `table` lists all predictions in predictions.csv and updates the asset `brats_predictions`. `drift`
compares new cases with those that the champion was trained on; an alarm updates the asset `brats_drift`.

A run does not score a case twice, so you can start one at any time. `orchestration.score` in params.yaml sets the
schedule, and a new champion starts a run as well.
"""
SCORE_DOC = "Scores the cases of one shard. A refused or unreadable case does not stop the others."

# Fields of the form.
FIELDS = {
    "cases": "{{ params.cases }}",
    "predictions": "{{ params.output }}",
    "preset": "{{ params.preset or '' }}",
    "probabilities": "{{ 'yes' if params.probabilities else '' }}",
}

checkout = Path(__file__).resolve().parents[1]
cron = kept_params(checkout).orchestration.score
pipeline = DvcPipeline(checkout)

with DAG(
    dag_id="brats_score",
    description="Label maps and survival groups of unseen cases",
    doc_md=DOC,
    tags=["brats", "scoring"],
    default_args={"owner": "brats_ml"},
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable(cron, timezone="UTC"), assets=[CHAMPIONS])
    if cron
    else [CHAMPIONS],
    catchup=False,
    allowed_run_types=RUN_TYPES,
    on_failure_callback=RunNotifier("failure"),
    max_active_runs=1,
    params={
        "revision": revision_field(),
        "cases": field(
            INBOX,
            "string",
            title="Cases",
            help_md="Folder of unseen cases, named as in BraTS, BIDS or *acquire.naming*, relative to the checkout; or "
            "*s3://bucket/prefix*.",
            required=True,
        ),
        "output": field(
            "predictions",
            "string",
            title="Predictions",
            help_md="Folder for the predictions, relative to the checkout; one for each folder of cases.",
            required=True,
        ),
        "preset": field(
            None,
            "string",
            title="Preset",
            help_md="How much time a prediction may take: *fast*, *balanced* or *best*. Empty: the preset that the "
            "champion was judged with. It concerns region recipes only.",
            enum=list(PRESETS),
        ),
        "probabilities": field(
            False,
            "boolean",
            title="Probabilities",
            help_md="Write the probabilities of WT, TC and ET of each case, too.",
            required=True,
        ),
    },
) as dag:
    opened = pipeline.open(form=ScoreForm, operator=OpenForCasesOperator, **FIELDS)
    pending = pipeline.command(
        "pending",
        operator=PendingOperator,
        **FIELDS,
        doc_md="Finds the cases without a prediction by the current champions.",
    )
    score = ShardOperator.partial(
        task_id="score",
        doc_md=SCORE_DOC,
        checkout=str(checkout),
        map_index_template="{{ task.shard }}",
        links=("MLflow",),
        pool="gpu",
        queue="gpu",
        execution_timeout=ACTION_TIMEOUT,
        **RETRY,
        **RUN_UNLESS_FAILED,
    ).expand_kwargs(pending.output)
    table = pipeline.command(
        "table",
        operator=TableOperator,
        predictions=FIELDS["predictions"],
        scored_by="score",
        links=("Page", "MLflow"),
        outlets=[PREDICTIONS],
        doc_md="Lists all predictions in predictions.csv, also after a shard that failed.",
        trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
    )
    drift = pipeline.command(
        "drift",
        operator=DriftOperator,
        predictions=FIELDS["predictions"],
        doc_md="Compares new cases with those that the champion was trained on, once there are enough for a batch.",
    )
    opened >> pending >> score >> table >> drift
    pending >> table
    [score, table, drift] >> pipeline.close()
