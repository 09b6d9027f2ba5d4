"""Addresses of MLflow's pages: every link to MLflow that the project prints or stores comes from here.

Without `workflowType`, MLflow 3 shows an experiment by its traces of language models, and there are none. Its list of
registered models ignores the parameter, so links name one model.
"""

from collections.abc import Mapping
from urllib.parse import quote, urlencode

EXPERIMENT = "brats"
# The kind of an experiment with training runs; its tag.
KIND: Mapping[str, str] = {"mlflow.experimentKind": "custom_model_development"}
WORKFLOW = "workflowType=machine_learning"


def page(server: str, *path: str) -> str | None:
    """Return the address of a page in the view of training runs, or None where `server` is a store without pages.

    Args:
        server: The address of the store, such as that in `MLFLOW_TRACKING_URI`.
        path: The parts of the page's path.
    """
    if not has_pages(server):
        return None
    return f"{server.rstrip('/')}/{_within(*path)}"


def has_pages(server: str) -> bool:
    """Return whether a store is a server."""
    return server.startswith(("http://", "https://"))


def experiments_page(server: str) -> str | None:
    """Return the address of the list of experiments."""
    return page(server, "experiments")


def runs_page(server: str, experiment: str) -> str | None:
    """Return the address of the list of runs of an experiment, by its id."""
    return page(server, "experiments", experiment, "runs")


def run_page(server: str, experiment: str, run_id: str, *, artifact: str | None = None) -> str | None:
    """Return the address of a run, or of one of its artifacts by the name of the file in the run."""
    return page(server, "experiments", experiment, "runs", run_id, *_shown(artifact))


def artifact_file(server: str, run_id: str, artifact: str) -> str | None:
    """Return the address of an artifact itself, as for a picture on another page."""
    if not has_pages(server):
        return None
    return f"{server.rstrip('/')}/get-artifact?{urlencode({'path': artifact, 'run_uuid': run_id})}"


def run_link(experiment: str, run_id: str, *, artifact: str | None = None) -> str:
    """Return the link to a run, or to one of its artifacts, for a text on another page of the same server.

    It has no server in it, as a server may change its address.
    """
    return _within("experiments", experiment, "runs", run_id, *_shown(artifact))


def version_page(server: str, model: str, version: int) -> str | None:
    """Return the address of a version of a registered model."""
    return page(server, "models", model, "versions", str(version))


def version_link(model: str, version: int | str) -> str:
    """Return the link to a version of a registered model, for a text on another page of the same server."""
    return _within("models", model, "versions", str(version))


def _shown(artifact: str | None) -> tuple[str, ...]:
    return () if artifact is None else ("artifacts", artifact)


def _within(*path: str) -> str:
    return f"#/{'/'.join(quote(part) for part in path)}?{WORKFLOW}"
