"""The DAG brats_score: unseen cases through the champions."""

from pathlib import Path

from airflow.sdk import DAG, Param

from brats_ml.orchestration.tasks import Checkout

DOC = """
# Unseen cases through the champions

Predicts a label map for every case of the folder and, where there is a survival champion, the survival group of its
patient. Both champions are looked up in MLflow once, at the start of the run.
"""

checkout = Checkout(Path(__file__).resolve().parents[1])

with DAG(
    dag_id="brats_score",
    description="Label maps and survival groups of unseen cases",
    doc_md=DOC,
    tags=["brats", "scoring"],
    default_args={"owner": "brats_ml"},
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "cases": Param(
            "inbox",
            type="string",
            minLength=1,
            title="Cases",
            description="Folder of unseen cases, in any BraTS naming; relative to the checkout.",
        ),
        "output": Param(
            "predictions",
            type="string",
            minLength=1,
            title="Predictions",
            description="Folder that the predictions go to; relative to the checkout.",
        ),
    },
) as dag:
    checkout.action(
        "score",
        "--cases",
        "{{ params.cases }}",
        "--output",
        "{{ params.output }}",
        pool="gpu",
        doc_md="Runs `brats score` with the values of the form.",
    )
