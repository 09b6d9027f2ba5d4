"""The DAG brats_train: the stages of dvc.yaml, then what makes their outcome count."""

from pathlib import Path

from airflow.sdk import DAG, Param, TaskGroup

from brats_ml.orchestration.tasks import Checkout, configure

DOC = """
# From a cohort to champions

Every box up to `compare` is a stage of `dvc.yaml`, run by `dvc repro --single-item` in the checkout: what has not
changed since it was last computed is not computed again. The boxes after it act on the world: models are logged and
registered in MLflow, the gate judges them on the locked test patients, and what it lets through becomes champion.

The form changes `params.yaml` of the checkout; empty fields leave it as it stands.
"""

checkout = Checkout(Path(__file__).resolve().parents[1])
recipes = checkout.params.train.recipes
estimators = checkout.params.survival.estimators

with DAG(
    dag_id="brats_train",
    description="Cohort to validated, compared and promoted models",
    doc_md=DOC,
    tags=["brats", "training"],
    default_args={"owner": "brats_ml"},
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "source": Param(
            None,
            type=["null", "string"],
            title="Source of the cohort",
            description="`phantom`, or a folder with BraTS cases and, optionally, their tables.",
        ),
        "set": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "pattern": "^[a-z][a-z0-9_.]*=.*$"},
            title="Other parameters",
            description="`KEY=VALUE` each, as in `recipes.seed_mini.epochs=5`; keys are those of params.yaml.",
        ),
    },
) as dag:
    configured = configure(str(checkout.root))
    source = checkout.stage("source")
    acquire = checkout.stage("acquire")
    validate = checkout.stage("validate")
    preprocess = checkout.stage("preprocess")
    split = checkout.stage("split")
    with TaskGroup("train"):
        train = {recipe: checkout.stage("train", recipe) for recipe in recipes}
    with TaskGroup("evaluate"):
        evaluate = {recipe: checkout.stage("evaluate", recipe) for recipe in recipes}
    with TaskGroup("features"):
        reference = checkout.stage("features", "reference")
        predicted = checkout.stage("features", "predicted")
    with TaskGroup("survival"):
        survival = {estimator: checkout.stage("survival", estimator) for estimator in estimators}
    compare = checkout.stage("compare")

    configured >> source >> acquire
    acquire >> [validate, preprocess, split]
    validate >> [preprocess, split]
    for recipe in recipes:
        [preprocess, split] >> train[recipe]
        [acquire, validate, preprocess, split, train[recipe]] >> evaluate[recipe]
    [acquire, validate, preprocess] >> reference
    [acquire, validate, preprocess] >> predicted
    evaluate[checkout.params.features.predicted_by] >> predicted
    for estimator in estimators:
        [reference, split] >> survival[estimator]
    [*train.values(), *evaluate.values(), *survival.values(), reference, predicted] >> compare

    publish = checkout.action("publish", doc_md="Logs every run to MLflow and registers the nominated models.")
    gate = checkout.action("gate", pool="gpu", doc_md="Judges the nominees on the locked test patients.")
    promote = checkout.action("promote", doc_md="Moves the alias `champion` to what the gate let through.")
    push = checkout.command(
        "push",
        ["dvc", "--wait-for-lock", "push"],
        doc_md="Copies the data and models of this run to the DVC remote, before any of it can become champion.",
    )
    compare >> publish >> gate >> promote
    compare >> push >> promote
