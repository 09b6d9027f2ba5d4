"""Serves pages in Airflow's API server: a run's results to those who may read the run, and the pages of batches."""

from pathlib import Path

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

from brats_ml.orchestration.dag.batch_page_server import router
from brats_ml.orchestration.dag.run_page import render
from brats_ml.orchestration.runs import outcomes
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.run import Run

CHECKOUT = Path(__file__).resolve().parents[3]
application = FastAPI(title="Results of runs of brats", docs_url=None, redoc_url=None, openapi_url=None)
application.include_router(router)


@application.get(
    "/dags/{dag_id}/runs/{run_id}",
    dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.RUN))],
)
def run_page(dag_id: str, run_id: str) -> HTMLResponse:
    """Return the page of a run, for everyone whom Airflow lets read it."""
    run = Run(Locations.from_environment(CHECKOUT), dag_id, run_id)
    ended = {task: outcome for task, path in run.record.outcomes().items() if (outcome := outcomes.read(path))}
    return HTMLResponse(render(dag_id, run_id, ended))
