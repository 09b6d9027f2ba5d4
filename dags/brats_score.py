"""The DAG brats_score: score unseen cases with the champions."""

from pathlib import Path

from airflow.sdk import DAG, TriggerRule
from airflow.timetables.assets import AssetOrTimeSchedule
from airflow.timetables.trigger import CronTriggerTimetable

from brats_ml.config import load
from brats_ml.config.segmentation import PRESETS
from brats_ml.orchestration.dag.assets import CHAMPIONS, INBOX, PendingOperator, TableOperator
from brats_ml.orchestration.dag.form_fields import field, revision_field
from brats_ml.orchestration.dag.form_values import ScoreForm
from brats_ml.orchestration.dag.notifications import RunNotifier
from brats_ml.orchestration.dag.operators import CommandOperator
from brats_ml.orchestration.dag.rendering import ACTION_TIMEOUT, RETRY, RUN_TYPES, RUN_UNLESS_FAILED, DvcPipeline

DOC = """
# Score unseen cases with the champions

`pending` finds the cases that have no prediction by the current champions and divides them into shards. Each task of
`score` predicts a label map for every case of its shard. If there is a survival champion, it also predicts the survival
group of the patient. `table` lists all predictions in predictions.csv.

A run does not score a case twice, so you can start one at any time. `orchestration.score` in params.yaml sets the
schedule, and a new champion starts a run as well.
"""
SCORE_DOC = "Scores the cases of one shard. A refused or unreadable case does not stop the others."

checkout = Path(__file__).resolve().parents[1]
cron = load(checkout / "params.yaml").orchestration.score
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
            help_md="Folder of unseen cases in any BraTS naming, relative to the checkout.",
            required=True,
        ),
        "output": field(
            "predictions",
            "string",
            title="Predictions",
            help_md="Folder for the predictions, relative to the checkout.",
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
    },
) as dag:
    pending = pipeline.command(
        "pending",
        operator=PendingOperator,
        cases="{{ params.cases }}",
        predictions="{{ params.output }}",
        preset="{{ params.preset or '' }}",
        doc_md="Finds the cases without a prediction by the current champions.",
    )
    score = CommandOperator.partial(
        task_id="score",
        doc_md=SCORE_DOC,
        checkout=str(checkout),
        pool="gpu",
        execution_timeout=ACTION_TIMEOUT,
        **RETRY,
        **RUN_UNLESS_FAILED,
    ).expand(command=pending.output)
    table = pipeline.command(
        "table",
        operator=TableOperator,
        predictions="{{ params.output }}",
        doc_md="Lists all predictions in predictions.csv, also after a shard that failed.",
        trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS,
    )
    pipeline.open(form=ScoreForm) >> pending >> score >> table
    pending >> table
    [score, table] >> pipeline.close()
