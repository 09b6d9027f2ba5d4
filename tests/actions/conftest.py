"""A small workspace for the actions: registered models in a real MLflow store, and unseen cases in the inbox."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brats_ml.actions import sample_inbox, score
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.config import Params
from brats_ml.models.compatibility import MASKS, RECIPE, RECIPE_KEY
from brats_ml.workspace import Workspace
from tests.actions.registered_models import TRAINED, copy_workspace, make_champion, own_store, register


@pytest.fixture(scope="session")
def quick_params(make_params: Callable[[dict[str, Any]], Params]) -> Params:
    """The parameters of tiny phantoms, with networks that run in Keras and need no translation."""
    return make_params({"evaluate.runtime": "keras"})


@pytest.fixture(scope="session")
def small(make_params: Callable[[dict[str, Any]], Params]) -> Params:
    """Parameters with which a gate judges two tiny nominees on the few locked patients of the tiny cohort."""
    return make_params(
        {
            "evaluate.runtime": "keras",
            "survival.estimators": ["cox"],
            "gate.synthetic.segmentation": {"minimum_cases": 1, "minimum_dice": {"WT": 0.0, "TC": 0.0, "ET": 0.0}},
            "gate.segmentation.level": 0.1,  # four patients reach 1/16
            "gate.survival.level": 0.1,
        }
    )


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, quick_params: Params) -> Workspace:
    """Two versions of each registered model, no champion, and two cases in the inbox. Read only.

    Version 2 of the segmentation model is by regions. Version 2 of the survival model learnt from the label maps of
    version 1 of the segmentation model.
    """
    ws = Workspace(tmp_path_factory.mktemp("template"))
    with own_store():
        uri = embedded_store(ws.state)
        regions = ws.root / "registered/regions3d"
        shutil.copytree(TRAINED / "regions3d", regions / "data/regions3d")
        register(uri, "segmentation", 1, TRAINED / "registered/segmentation")
        register(uri, "segmentation", 2, regions)
        predicted = {MASKS: "predicted", RECIPE: "baseline_mini", RECIPE_KEY: "segmentation-1"}
        register(uri, "survival", 1, TRAINED / "registered/survival", **{MASKS: "reference"})
        register(uri, "survival", 2, TRAINED / "registered/survival", **predicted)
        sample_inbox.run(ws, quick_params, cases=2)
    return ws


@pytest.fixture
def ws(template: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the template, which the test may change."""
    with own_store():
        yield copy_workspace(template, tmp_path / "ws")


@pytest.fixture
def crown(ws: Workspace) -> Callable[[str, int], None]:
    """Return what makes a version of `segmentation` or `survival` champion of the test's workspace."""
    return lambda kind, number: make_champion(ws, kind, number)


@pytest.fixture
def again(scored: Workspace, quick_params: Params, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the workspace that a module has as `scored`, with marks of its own, which the test may change."""
    with own_store():
        ws = copy_workspace(scored, tmp_path / "again")
        score.run(ws, quick_params)
        yield ws
