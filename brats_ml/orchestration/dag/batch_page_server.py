"""Serves the pages of batches in Airflow's API server, to those who may read the runs of brats_score.

A browser opens no file from a page of a server, so Airflow and MLflow link to these addresses.
"""

from pathlib import Path
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter, Depends, HTTPException
from fastapi import Path as InPath
from fastapi.responses import FileResponse, RedirectResponse

from brats_ml import files
from brats_ml.errors import BratsError
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.workspace.outputs import PredictionFolder, PredictionsFolder

CHECKOUT = Path(__file__).resolve().parents[3]
SCORING = "brats_score"
HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-cache", "Referrer-Policy": "no-referrer"}
BatchId = Annotated[str, InPath(pattern="^[0-9a-f]{16}$")]

router = APIRouter(dependencies=[Depends(requires_access_dag("GET", DagAccessEntity.RUN, SCORING))])


@router.get("/batches/{batch}", include_in_schema=False)
def with_slash(batch: BatchId) -> RedirectResponse:
    """Lead to the address that the page's own links are relative to."""
    return RedirectResponse(f"{batch}/")


@router.get("/batches/{batch}/{name:path}")
def batch_file(batch: BatchId, name: str) -> FileResponse:
    """Return the page of a batch, or a file that it loads or links to.

    Raises:
        HTTPException: There is no such batch or file, or this server has no access to it.
    """
    state = Locations.from_environment(CHECKOUT).state
    try:
        folder = Path(files.read_json(state.batch(batch))["folder"])
    except (BratsError, KeyError, TypeError) as error:
        raise HTTPException(404, "There is no such batch: run `brats page` again.") from error
    found = served_file(PredictionsFolder(folder), name)
    if found is None:
        raise HTTPException(
            404,
            f"This server has no such file of {folder}: run `brats page`. If the folder is on another machine, open "
            "the page there, or mount the folder here under the same path.",
        )
    return FileResponse(found, headers=HEADERS)


def served_file(target: PredictionsFolder, name: str) -> Path | None:
    """Return a file that a page consists of or links to, None for any other file in the folder.

    Args:
        target: The predictions.
        name: The address relative to the page; empty for the page itself.
    """
    if "\0" in name:
        return None
    target = PredictionsFolder(target.path.resolve())
    path = (target.path / (name or target.page.path.name)).resolve()
    loaded = path.is_relative_to(target.page_files.path) and not path.name.startswith(".")
    preview = path == PredictionFolder(path.parent).preview.path and path.parent.parent == target.path
    own = path in (target.page.path, target.table.path)
    return path if (own or preview or loaded) and path.is_file() else None
