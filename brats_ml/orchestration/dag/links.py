"""Addresses of pages about a stage's results, kept with the results, so that a skipped stage has them too."""

import json
from collections.abc import Mapping
from pathlib import Path

from brats_ml import dvc_lock
from brats_ml.errors import TableError
from brats_ml.files import write_json
from brats_ml.orchestration.runs.run import Run


def remember(run: Run, address: str, links: Mapping[str, str]) -> None:
    """Keep the links of a stage that has just run."""
    path = _path(run, address)
    if links and path is not None:
        write_json(path, dict(links))


def recall(run: Run, address: str) -> dict[str, str]:
    """Return the links of the run that computed a stage's present results."""
    path = _path(run, address)
    if path is None or not path.is_file():
        return {}
    try:
        links: dict[str, str] = dict(json.loads(path.read_text()))
    except (ValueError, TypeError):
        return {}  # damaged; a link is not worth a failed task
    return links


def _path(run: Run, address: str) -> Path | None:
    """Return the file of links for the results that dvc.lock records for a stage, None without a record."""
    try:
        recorded = dvc_lock.stages(run.workspace).get(address)
    except TableError:
        return None  # a link is not worth a failed task
    return run.locations.state.links(recorded.digest) if recorded else None
