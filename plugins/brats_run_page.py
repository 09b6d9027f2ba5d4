"""The plugin of Airflow that adds the tab *Results* to the page of a run."""

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

PREFIX = "/brats"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer by the page's own application; tasks load plugins too, and need not pay for its imports."""
    from brats_ml.orchestration.dag.run_page_server import application

    await application(scope, receive, send)


class RunPagePlugin(AirflowPlugin):  # type: ignore[misc]  # mypy does not follow airflow
    """Links to MLflow, the report and the predictions of a run."""

    name = "brats_run_page"
    fastapi_apps: ClassVar = [{"app": app, "name": name, "url_prefix": PREFIX}]
    external_views: ClassVar = [
        {
            "name": "Results",
            "href": f"{PREFIX}/dags/{{DAG_ID}}/runs/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "brats-results",
        }
    ]
