"""The DAG brats_train: run the stages of dvc.yaml, then publish, judge and promote the models."""

from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from brats_ml.orchestration.dag.approval import ApprovedOperator, GateApproval, PromotionOperator
from brats_ml.orchestration.dag.assets import CHAMPIONS, COHORT
from brats_ml.orchestration.dag.form import offered_graph
from brats_ml.orchestration.dag.form_fields import field, revision_field, source_field
from brats_ml.orchestration.dag.form_values import train_form
from brats_ml.orchestration.dag.kept import kept_params
from brats_ml.orchestration.dag.notifications import RunNotifier
from brats_ml.orchestration.dag.operators import DVC
from brats_ml.orchestration.dag.rendering import RETRY, RUN_TYPES, RUN_UNLESS_FAILED, DvcPipeline

DOC = """
# From a cohort to champions

`open` clones the repository at the revision of the form and applies the parameters of the form. The stages of
`dvc.yaml` run in this clone, in the order of DVC's own graph. DVC skips every stage that is up to date, even if another
run computed it. `close` removes the clone.

After `compare`:

1. `publish` logs the runs to MLflow and registers the nominated models.
2. `gate` judges the nominees on the locked test patients.
3. `approve` asks a person, if the form requires approval or made a condition of the gate weaker, or if the first
   champion of real patients is to come.
4. `push` copies the results to the DVC remote.
5. `promote` makes the accepted models champion.

When `brats_cohort` announces a new cohort, a run starts automatically. You can clear any task of any run: its workspace
is restored first.
"""
GATE_DOC = "Judges the nominees on the locked test patients and compares them with the champions."
APPROVE_DOC = (
    "Asks a person if the form or the gate requires approval, or if the form made a condition of the gate weaker. "
    "Rejects without an answer in time."
)
PUSH_DOC = "Copies the data and models of this run to the DVC remote before a model becomes champion."
PROMOTE_DOC = "Moves the alias `champion` to the models that the gate accepted."

checkout = Path(__file__).resolve().parents[1]
params = kept_params(checkout)
recipes = list(params.recipes)
pipeline = DvcPipeline(checkout, read=offered_graph)

with DAG(
    dag_id="brats_train",
    description="From a cohort to evaluated, compared and promoted models",
    doc_md=DOC,
    tags=["brats", "training"],
    default_args={"owner": "brats_ml"},
    schedule=[COHORT],
    catchup=False,
    allowed_run_types=RUN_TYPES,
    on_failure_callback=RunNotifier("failure"),
    max_active_runs=4,
    params={
        "revision": revision_field(
            "Branch, tag or commit to run. HEAD uses the checkout's params.yaml even if it is not committed, "
            "and refuses other uncommitted changes."
        ),
        "source": source_field(),
        "recipes": field(
            params.train.recipes,
            "array",
            title="Recipes",
            help_md="Recipes to train and compare: any sections of *recipes* in params.yaml. The tasks of the others "
            "are skipped. If *features.predicted_by* is not among them, it becomes the first of them. Empty: as in "
            "params.yaml.",
            items={"type": "string"},
            examples=recipes,
        ),
        "epochs": field(
            None,
            "integer",
            title="Epochs",
            help_md="Epochs of every recipe of this run, at least 1. Empty: as in params.yaml.",
            minimum=1,
        ),
        "folds": field(
            None,
            "integer",
            title="Folds",
            help_md="Folds of the cross-validation of survival models, at least 2. Empty: as in params.yaml.",
            minimum=2,
        ),
        "approval": field(
            False,
            "boolean",
            title="Approval",
            help_md="Ask a person before a model becomes champion. A first champion of real patients always needs a "
            "person.",
            required=True,
        ),
        "set": field(
            None,
            "array",
            title="Other parameters",
            help_md="One *KEY=VALUE* a line with a key of params.yaml, for example "
            "*recipes.baseline_mini.learning_rate=0.01*. The approval page lists what differs from params.yaml. A "
            "weaker condition of *gate* is marked there, and always asks a person.",
            items={"type": "string"},
        ),
    },
) as dag:
    opened = pipeline.open(form=train_form(recipes))
    stages = pipeline.stages(after=opened)
    publish = pipeline.action(
        "publish", doc_md="Logs all runs to MLflow and registers the nominees.", links=("MLflow", "Report")
    )
    gate = pipeline.action("gate", doc_md=GATE_DOC, pool="gpu", queue="gpu", links=("MLflow",))
    approve = GateApproval(
        task_id="approve",
        doc_md=APPROVE_DOC,
        checkout=str(checkout),
        response_timeout=timedelta(hours=params.orchestration.approval_hours),
        **RETRY,
        **RUN_UNLESS_FAILED,
    )
    push = pipeline.command("push", [*DVC, "push"], operator=PromotionOperator, doc_md=PUSH_DOC)
    promote = pipeline.action(
        "promote", operator=ApprovedOperator, doc_md=PROMOTE_DOC, outlets=[CHAMPIONS], links=("MLflow",)
    )
    closed = pipeline.close(promoted_by="promote", links_of="publish")

    pipeline.last(stages) >> publish >> gate >> approve >> push >> promote >> closed
    approve >> promote
