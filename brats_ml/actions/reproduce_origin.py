"""What is on record of a registered version: its commit, its stage, its params.yaml and dvc.lock."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brats_ml import dvc_lock, files
from brats_ml.actions.publish_pipeline import PREFIX
from brats_ml.adapters.tracking.champions import Champions
from brats_ml.adapters.tracking.reigns import MODELS, THE_CHAMPION, no_champion
from brats_ml.adapters.tracking.runs import KEY, PARENT, MlflowTracker
from brats_ml.adapters.tracking.version import COMPUTER, LOCK_DIGEST, PARAMS_DIGEST, PIPELINE, Version
from brats_ml.config import read_document
from brats_ml.config.differences import differences
from brats_ml.errors import ConfigError, ModelError, TableError
from brats_ml.workspace.artefact import DVC_LOCK, PARAMS


@dataclass(frozen=True)
class Origin:
    """What a version was made from, as far as it is on record.

    Attributes:
        version: The version.
        commit: The commit of its code.
        stage: The last stage that made it, such as `evaluate@baseline`.
        folder: A folder with the params.yaml and the dvc.lock of its run.
        computer: The computer that trained it; None in versions of before it was noted.
    """

    version: Version
    commit: str
    stage: str
    folder: Path
    computer: Mapping[str, Any] | None


def chosen_version(champions: Champions, name: str, wanted: str) -> Version:
    """Return the version of a model by its number, or its champion.

    Raises:
        ModelError: There is none.
    """
    if wanted != THE_CHAMPION:
        return champions.version(name, int(wanted))
    found = champions.of(name)
    if found is None:
        champions.refuse_unledgered(name)
        raise no_champion(name, champions.state.ledger.path)
    return found


def read_origin(champions: Champions, version: Version, folder: Path) -> Origin:
    """Collect what is on record of a version, and compare each file with the digest that was kept of it.

    Args:
        champions: Ledger and registry.
        version: The version.
        folder: An empty folder that gets the params.yaml and dvc.lock of its run.

    Raises:
        ModelError: Something was never recorded, is gone, or was changed.
    """
    tags = version.tags
    if "commit" not in tags:
        raise ModelError(
            f"nobody recorded the commit of {version}: only a model that was published from a git repository can be "
            "reproduced"
        )
    tracker = MlflowTracker(champions.registry.uri)
    run_id = tags.get(PIPELINE) or _parent(tracker, version)
    for name in (PARAMS, DVC_LOCK):
        tracker.client.download(run_id, name, folder)
    _check(folder, run_id, tags if PIPELINE in tags else tracker.client.get_run(run_id).data.tags)
    computer = json.loads(tags[COMPUTER]) if tags.get(COMPUTER) else None
    return Origin(version, tags["commit"], _stage(version), folder, computer)


def _parent(tracker: MlflowTracker, version: Version) -> str:
    """Return the run of the checkout that published a version of before versions named it."""
    parent = tracker.client.get_run(version.run_id).data.tags.get(PARENT)
    if parent is None:
        raise ModelError(
            f"run {version.run_id} of {version} is part of no pipeline run, which would have its params.yaml and "
            "dvc.lock: publish the model again from its checkout"
        )
    return str(parent)


def _check(folder: Path, run_id: str, tags: Mapping[str, str]) -> None:
    """Compare params.yaml and dvc.lock with what is on record; the older key of a run has a digest of dvc.lock too.

    Raises:
        ModelError: One of them was changed.
    """
    changed = [
        name
        for name, tag in ((PARAMS, PARAMS_DIGEST), (DVC_LOCK, LOCK_DIGEST))
        if tag in tags and files.digest_file(folder / name) != tags[tag]
    ]
    key = tags.get(KEY, "")
    if LOCK_DIGEST not in tags and key.startswith(PREFIX):
        changed += [DVC_LOCK] * (not str(dvc_lock.digest(folder)).startswith(key.removeprefix(PREFIX)))
    if changed:
        found = f" ({differing})" if PARAMS in changed and (differing := parameter_difference(folder)) else ""
        raise ModelError(
            f"{changed[0]} of run {run_id} in MLflow is not what was logged{found}: restore the artifact store from a "
            "backup"
        )


def parameter_difference(folder: Path) -> str | None:
    """Return the first parameter that params.yaml has otherwise than the dvc.lock next to it, in words.

    None where they agree, or where one of them is damaged, which the caller knows already.
    """
    try:
        document, stages = read_document(folder / PARAMS), dvc_lock.stages(folder)
    except (ConfigError, TableError):
        return None
    for recorded in stages.values():
        for key, before in recorded.params.get(PARAMS, {}).items():
            changes = differences({key: before}, {key: value_at(document, key)})
            if changes:
                return str(changes[0])
    return None


def value_at(document: Any, key: str) -> Any:
    """Return the value at a dotted key, None where there is none."""
    for part in key.split("."):
        document = document.get(part) if isinstance(document, Mapping) else None
    return document


def _stage(version: Version) -> str:
    if version.name == MODELS["segmentation"]:
        return f"evaluate@{version.tags['recipe']}"
    return f"survival@{version.tags['estimator']}"
