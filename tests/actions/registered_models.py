"""Registered models for the tests of actions, and a store of MLflow that only one test uses."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from brats_ml.adapters.tracking.champions import Champions
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.runs import KEY, MlflowTracker
from brats_ml.adapters.tracking.version import COHORT, Version
from brats_ml.config import Params
from brats_ml.models import pyfunc
from brats_ml.workspace import Workspace

# Models of synthetic patients of 32 voxels along each axis.
TRAINED = Path(__file__).parents[1] / "golden/before_the_move"


@contextmanager
def own_store() -> Iterator[None]:
    """Set the store of MLflow in this context, and set it back for later tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            patch.setenv(name, "")
        try:
            yield
        finally:
            mlflow.set_tracking_uri(None)
            mlflow.set_registry_uri(None)


def register(uri: str, kind: str, number: int, folder: Path, **tags: str) -> None:
    """Register a folder as the next version of `segmentation` or `survival`, with a run of its own."""
    client, name, key = MlflowClient(uri, registry_uri=uri), MODELS[kind], f"{kind}-{number}"
    if number == 1:
        client.create_registered_model(name)
    with MlflowTracker(uri).run(key, name=key, tags={}) as run:
        run_id = run.run_id
    client.create_model_version(name, folder.as_uri(), run_id, tags={KEY: key, COHORT: "synthetic", **tags})


def register_whole(ws: Workspace, params: Params, folder: Path, *, key: str = "whole") -> Version:
    """Register a recipe as `brats publish` does: with code, requirements and the interface of a table of folders."""
    uri = embedded_store(ws.state)
    with MlflowTracker(uri).run(key, name=key, tags={}) as run:
        run_id = run.run_id
    return Registry(uri).register(
        MODELS["segmentation"],
        key=key,
        run_id=run_id,
        folder=folder,
        tags={COHORT: "synthetic", "commit": "c" * 40},
        loader=pyfunc.__name__,
        **pyfunc.segmentation_interface(params),
    )


def copy_workspace(template: Workspace, root: Path) -> Workspace:
    """Return a copy of a workspace with a registry of its own; artifacts of both go into one folder."""
    return Workspace(Path(shutil.copytree(template.root, root)))


def make_champion(ws: Workspace, kind: str, number: int) -> None:
    """Promote a version, whatever the gate would say."""
    champions = champions_of(ws)
    version, champion = champions.registry.get(MODELS[kind], number), champions.of(MODELS[kind])
    assert version is not None
    champions.promote(version, decision="test", against=champion.identity if champion else None)


def champions_of(ws: Workspace) -> Champions:
    """Return the champions of a workspace in its own store."""
    return Champions(Registry(embedded_store(ws.state)), ws.state)
