"""The DAG brats_rollback: return to an earlier champion after a proof and an approval."""

from datetime import timedelta
from pathlib import Path
from typing import get_args

from airflow.sdk import DAG

from brats_ml.orchestration.dag.assets import CHAMPIONS
from brats_ml.orchestration.dag.form_fields import field, revision_field
from brats_ml.orchestration.dag.form_values import ModelName, RollbackForm
from brats_ml.orchestration.dag.kept import kept_params
from brats_ml.orchestration.dag.notifications import RunNotifier
from brats_ml.orchestration.dag.rendering import RETRY, RUN_TYPES, DvcPipeline
from brats_ml.orchestration.dag.rollback import PROVE, RollbackApproval, RollbackOperator

DOC = """
# Return to an earlier champion

1. `prove` loads the earlier version, compares its files with the digests of the ledger, and lets it predict the golden
   case that was kept when it became champion.
2. `approve` shows the proof and asks a person. Without an answer in time, nothing changes.
3. `rollback` proves it again, writes a line in the ledger and sets the aliases. A run of `brats_score` follows.
"""
MODELS = list(get_args(ModelName))

checkout = Path(__file__).resolve().parents[1]
params = kept_params(checkout)
pipeline = DvcPipeline(checkout)

with DAG(
    dag_id="brats_rollback",
    description="Back to an earlier champion, after a proof and an approval",
    doc_md=DOC,
    tags=["brats", "rollback"],
    default_args={"owner": "brats_ml"},
    schedule=None,
    catchup=False,
    allowed_run_types=RUN_TYPES,
    on_failure_callback=RunNotifier("failure"),
    max_active_runs=1,
    params={
        "revision": revision_field(),
        "model": field(MODELS[0], "string", title="Model", help_md="The registered model.", required=True, enum=MODELS),
        "version": field(
            None,
            "integer",
            title="Version",
            help_md="The number of an earlier champion. Empty: the one before the present champion.",
            minimum=1,
        ),
        "reason": field(None, "string", title="Reason", help_md="Why, for the ledger and for who approves."),
    },
) as dag:
    opened = pipeline.open(form=RollbackForm)
    prove = pipeline.command(
        PROVE,
        operator=RollbackOperator,
        check=True,
        doc_md="Proves that the earlier version predicts its golden case as before. It changes nothing.",
        pool="gpu",
        queue="gpu",
        links=("MLflow",),
    )
    approve = RollbackApproval(
        task_id="approve",
        doc_md="Asks a person. Without an answer in time, nothing changes.",
        checkout=str(checkout),
        response_timeout=timedelta(hours=params.orchestration.approval_hours),
        **RETRY,
    )
    rollback = pipeline.command(
        "rollback",
        operator=RollbackOperator,
        doc_md="Makes the earlier version champion again.",
        outlets=[CHAMPIONS],
        pool="gpu",
        queue="gpu",
        links=("MLflow",),
    )
    opened >> prove >> approve >> rollback >> pipeline.close()
