"""Addresses of MLflow's pages: all show training runs, and no other module writes one."""

import re
from pathlib import Path

import pytest

import brats_ml
from brats_ml import mlflow_pages

SERVER = "http://127.0.0.1:5000"
PAGES = {
    mlflow_pages.experiments_page(SERVER): "experiments",
    mlflow_pages.runs_page(SERVER, "1"): "experiments/1/runs",
    mlflow_pages.run_page(f"{SERVER}/", "1", "ab"): "experiments/1/runs/ab",
    mlflow_pages.run_page(
        SERVER, "1", "ab", artifact="reports/a b.html"
    ): "experiments/1/runs/ab/artifacts/reports/a%20b.html",
    mlflow_pages.version_page(SERVER, "brats-survival", 3): "models/brats-survival/versions/3",
}


@pytest.mark.parametrize(("made", "path"), PAGES.items())
def test_a_page_is_in_the_view_of_training_runs(made: str | None, path: str) -> None:
    assert made == f"{SERVER}/#/{path}?workflowType=machine_learning"


def test_a_store_without_a_server_has_no_page() -> None:
    assert mlflow_pages.run_page("sqlite:////data/mlflow.db", "1", "ab") is None


def test_no_other_module_writes_an_address_of_a_page() -> None:
    package = Path(brats_ml.__file__).parent
    address = re.compile(r"/#/|#/(\{|experiments|models)|workflowType=")
    found = {path.name for path in package.rglob("*.py") if address.search(path.read_text())}

    assert found == {"mlflow_pages.py"}
