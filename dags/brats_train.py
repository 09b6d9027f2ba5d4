"""The DAG brats_train: the stages of dvc.yaml, then publishing, gate and promotion."""

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

Every run works in its own clone, with the revision and the parameters of its form; `open` creates the clone, `close`
removes it. In between, DVC runs the stages of `dvc.yaml`, in the order of DVC's own graph. It skips a stage if nothing
has changed, no matter who computed the results. After `compare` come the tasks with effects outside the clone:

- `publish` logs the models to MLflow and registers the nominees,
- `gate` judges the nominees on the locked test patients,
- `approve` asks a person, if the form says so,
- `push` copies the results to the DVC remote,
- `promote` makes the models that passed the gate champions.

When `brats_cohort` announces a new validated cohort, a run starts by itself. Any task of any run can be cleared:
Airflow then creates the workspace again as the run left it.
"""
GATE_DOC = "Judges the nominees on the locked test patients and compares them with the champions."
APPROVE_DOC = "Waits for a person if the form asks for approval; rejects if nobody answers in time."
PUSH_DOC = "Copies the data and models of this run to the DVC remote, before a model becomes champion."
PROMOTE_DOC = "Moves the alias `champion` to the models that passed the gate."

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
            "Branch, tag or commit of the code and parameters to run. HEAD also takes uncommitted changes of the "
            "checkout's params.yaml, and refuses a checkout with other uncommitted changes."
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
            description="Number of epochs of every recipe in this run; empty: as in params.yaml.",
        ),
        "folds": Param(
            None,
            type=["null", "integer"],
            minimum=2,
            title="Folds",
            description="Folds of the survival classifiers' cross-validation; empty: as in params.yaml.",
        ),
        "approval": Param(
            False,
            type="boolean",
            title="Approval",
            description="Whether a person must approve each new champion.",
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
