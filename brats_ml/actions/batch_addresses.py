"""Addresses of a batch: its page as Airflow serves it or on the disk, and its run in MLflow."""

import secrets
from dataclasses import asdict, dataclass, replace
from typing import Any

from brats_ml import environment, files, mlflow_pages
from brats_ml.errors import MissingInputError, TableError
from brats_ml.workspace.artefact import Artefact
from brats_ml.workspace.outputs import PredictionsFolder
from brats_ml.workspace.state import State

# `plugins/` adds an application with this prefix to Airflow's server.
PREFIX = "brats"


@dataclass(frozen=True)
class Addresses:
    """What links to a batch need to know.

    Attributes:
        batch: The id of the batch.
        folder: The folder with the predictions. A copy elsewhere is another batch.
        experiment: The id of the experiment of its run in MLflow; None before it has one.
        run: The id of that run.
    """

    batch: str
    folder: str
    experiment: str | None = None
    run: str | None = None


def addresses(target: PredictionsFolder) -> Addresses | None:
    """Return the addresses of a batch, None before `enrol`."""
    found = _read(Artefact(target.addresses, target.made_by))
    try:
        known = Addresses(**found)
    except TypeError:
        return None  # made by hand or by another version; it is made again
    return known if known.folder == str(target.path.resolve()) else None


def enrol(state: State, target: PredictionsFolder) -> Addresses:
    """Let Airflow's server find the page of a batch, and return the addresses; the first call gives the batch an id."""
    known = addresses(target) or Addresses(secrets.token_hex(8), str(target.path.resolve()))
    _keep(target, known)
    record, named = state.batch(known.batch), {"folder": known.folder}
    if _read(record) != named:
        files.write_json(record, named)
    return known


def add_run(target: PredictionsFolder, known: Addresses, *, experiment: str, run: str) -> None:
    """Keep the run of a batch in MLflow."""
    _keep(target, replace(known, experiment=experiment, run=run))


def page_links(state: State, target: PredictionsFolder) -> dict[str, str]:
    """Return the addresses of the page and of the batch's run in MLflow by their titles, as far as there are any.

    The page is that of Airflow's server, since a page from a server cannot link to a file, or else the file.
    """
    if not target.page.path.exists():
        return {}
    run = run_page(state, target)
    page = served_page(state, addresses(target)) or target.page.path.resolve().as_uri()
    return {"Page": page} | ({"MLflow": run} if run else {})


def served_page(state: State, known: Addresses | None) -> str | None:
    """Return the address of the page on Airflow's server, None without one."""
    server = environment.AIRFLOW_BASE_URL.read() or _local(state, "airflow_port")
    return f"{server.rstrip('/')}/{PREFIX}/batches/{known.batch}/" if server and known else None


def run_page(state: State, target: PredictionsFolder) -> str | None:
    """Return the address of the batch's run in MLflow, None without one or without a server."""
    known = addresses(target)
    named = environment.MLFLOW_TRACKING_URI.read() or ""
    server = named if mlflow_pages.has_pages(named) else _local(state, "mlflow_port")
    if known is None or known.experiment is None or known.run is None or server is None:
        return None
    return mlflow_pages.run_page(server, known.experiment, known.run)


def _keep(target: PredictionsFolder, known: Addresses) -> None:
    if addresses(target) != known:
        files.write_json(target.addresses, asdict(known))


def _local(state: State, port: str) -> str | None:
    """Return the address of a server of `brats up`, None if none runs."""
    found = _read(Artefact(state.servers, "brats up")).get(port)
    return f"http://127.0.0.1:{found}" if isinstance(found, int) else None


def _read(record: Artefact) -> dict[str, Any]:
    """Return a record, empty where there is none; a link is not worth a failed command."""
    try:
        found = files.read_json(record)
    except (MissingInputError, TableError):
        return {}
    return found if isinstance(found, dict) else {}
