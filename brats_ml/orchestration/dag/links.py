"""Addresses of pages about a stage's results, kept with the results, so that a stage that is skipped has them too."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from brats_ml.orchestration.runs.run import Run
from brats_ml.workspace.artefact import DVC_LOCK


def remember(run: Run, address: str, links: Mapping[str, str]) -> None:
    """Keep the links of a stage that has just run."""
    path = _path(run, address)
    if links and path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(dict(links)))
        temporary.replace(path)


def recall(run: Run, address: str) -> dict[str, str]:
    """Return the links of whichever run computed the results that a stage has now."""
    path = _path(run, address)
    if path is None or not path.is_file():
        return {}
    links: dict[str, str] = json.loads(path.read_text())
    return links


def _path(run: Run, address: str) -> Path | None:
    """Return the file for the results that the workspace's dvc.lock records for a stage, None without a record."""
    lock = run.workspace / DVC_LOCK
    try:
        entries: dict[str, Any] = (YAML(typ="safe").load(lock) or {}).get("stages", {}) if lock.is_file() else {}
    except YAMLError:
        return None  # a stage beside this one is writing it; a link is not worth waiting for
    if address not in entries:
        return None
    digest = sha256(json.dumps(entries[address], sort_keys=True, default=str).encode()).hexdigest()
    return run.locations.state.links(digest)
