"""The DAG brats_train: the stages of dvc.yaml, then what makes their outcome count."""

from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Param

from brats_ml.config import load
from brats_ml.orchestration.dag.approval import GateApproval, PromotionOperator
from brats_ml.orchestration.dag.assets import CHAMPIONS, COHORT
from brats_ml.orchestration.dag.form_fields import revision_field, source_field
from brats_ml.orchestration.dag.operators import DVC
from brats_ml.orchestration.dag.rendering import RETRY, RUN_UNLESS_FAILED, DvcPipeline

DOC = """
# From a cohort to champions

Every run works in a clone of its own, at the revision and with the parameters of its form; `open` makes it, `close`
removes it. Between them stand the stages of `dvc.yaml`, drawn from DVC's own graph and run by DVC: what nothing changed
for is skipped, whoever computed it. After `compare` come the tasks that act on the world: models are logged and
registered in MLflow, the gate judges them on the locked test patients, a person approves if the form says so, results
go to the DVC remote, and what was let through becomes champion.

A new validated cohort, announced by `brats_cohort`, starts a run by itself. Any task of any run can be cleared: its
workspace is made again as the run left it.
"""
GATE_DOC = "Judges the nominees on the locked test patients, beside the champions."
APPROVE_DOC = "Waits for a person where the form asks for approval; without an answer in time it rejects."
PUSH_DOC = "Copies the data and models of this run to the DVC remote, before any of it can become champion."
PROMOTE_DOC = "Moves the alias `champion` to what the gate let through."

checkout = Path(__file__).resolve().parents[1]
params = load(checkout / "params.yaml")
recipes = params.train.recipes
pipeline = DvcPipeline(checkout)

with DAG(
    dag_id="brats_train",
    description="Cohort to validated, compared and promoted models",
    doc_md=DOC,
    tags=["brats", "training"],
    default_args={"owner": "brats_ml"},
    schedule=[COHORT],
    catchup=False,
    max_active_runs=4,
    params={
        "revision": revision_field(
            "Branch, tag or commit whose code and parameters run. HEAD takes the checkout's params.yaml "
            "along as it stands, and refuses a checkout with other uncommitted changes."
        ),
        "source": source_field(),
        "recipes": Param(
            recipes,
            type="array",
            items={"type": "string", "enum": recipes},
            examples=recipes,
            minItems=1,
            uniqueItems=True,
            title="Recipes",
            description="Which of `train.recipes` in params.yaml to train; the tasks of the others are skipped.",
        ),
        "epochs": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Epochs",
            description="For every recipe of this run; empty: as in params.yaml.",
        ),
        "folds": Param(
            None,
            type=["null", "integer"],
            minimum=2,
            title="Folds",
            description="Of the survival classifiers' cross-validation; empty: as in params.yaml.",
        ),
        "approval": Param(
            False,
            type="boolean",
            title="Approval",
            description="Whether a person must approve before a model becomes champion.",
        ),
        "set": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": r"^[A-Za-z][\w.]*=.*$"},
            title="Other parameters",
            description="`KEY=VALUE` each, as in `recipes.baseline_mini.learning_rate=0.01`; keys are those of "
            "params.yaml.",
        ),
    },
) as dag:
    opened = pipeline.open(own_form=True)
    stages = pipeline.stages(after=opened)
    publish = pipeline.action(
        "publish", doc_md="Logs every run to MLflow and registers the nominees.", links=("MLflow", "Report")
    )
    gate = pipeline.action("gate", doc_md=GATE_DOC, pool="gpu", links=("MLflow",))
    approve = GateApproval(
        task_id="approve",
        doc_md=APPROVE_DOC,
        response_timeout=timedelta(hours=params.orchestration.approval_hours),
        **RETRY,
        **RUN_UNLESS_FAILED,
    )
    push = pipeline.command("push", [*DVC, "push"], operator=PromotionOperator, doc_md=PUSH_DOC)
    promote = pipeline.action(
        "promote", operator=PromotionOperator, doc_md=PROMOTE_DOC, outlets=[CHAMPIONS], links=("MLflow",)
    )
    closed = pipeline.close(promoted_by="promote")

    pipeline.last(stages) >> publish >> gate >> approve >> push >> promote >> closed
    approve >> promote
