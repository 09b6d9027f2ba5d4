"""Folds: every training patient is predicted by the network that did not see them, and the mean of all is the model."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dvc.repo import Repo

from brats_ml.config import Params
from brats_ml.errors import CohortError, ConfigError
from brats_ml.files import read_json
from brats_ml.models.segmentation import load_segmentation_model
from brats_ml.stages import acquire, evaluate, plan, preprocess, source, split, train, validate
from brats_ml.workspace import Workspace

TINY: dict[str, Any] = {
    "train.recipes": ["regions3d"],
    "features.predicted_by": "regions3d",
    "train.folds": 2,
    "evaluate.figures": 0,
    "evaluate.preset": "fast",
    "recipes.regions3d.epochs": 2,
    "recipes.regions3d.epoch_steps": 3,
    "recipes.regions3d.patch": [16, 16, 16],
    "recipes.regions3d.batch": 1,
    "recipes.regions3d.filters": [4, 8],
}


@pytest.fixture(scope="module")
def prepared(make_params: Callable[[dict[str, Any]], Params], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny cohort, split and planned, in a repository of DVC, which the key of the work comes from. Read only."""
    ws, params = Workspace(tmp_path_factory.mktemp("folds")), make_params(TINY)
    for stage in (source, acquire, validate, preprocess, split):
        stage.run(ws, params)
    plan.run(ws, params, recipe="regions3d")
    (ws.root / "dvc.yaml").write_text("stages: {train: {matrix: {recipe: [regions3d]}, cmd: train}}")
    Repo.init(str(ws.root), no_scm=True).close()
    return ws


@pytest.fixture
def split_cohort(prepared: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of the prepared workspace, which the test may change."""
    root = shutil.copytree(prepared.root, tmp_path / "workspace")
    monkeypatch.chdir(root)  # where DVC looks for stages
    return Workspace(root)


@pytest.fixture(scope="module")
def trained(
    prepared: Workspace, make_params: Callable[[dict[str, Any]], Params], tmp_path_factory: pytest.TempPathFactory
) -> Workspace:
    """The same with a network for each of two folds."""
    root = shutil.copytree(prepared.root, tmp_path_factory.mktemp("trained") / "workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        train.run(Workspace(root), make_params(TINY), recipe="regions3d")
    return Workspace(root)


def test_each_training_patient_is_predicted_by_the_network_that_did_not_see_them(
    trained: Workspace, make_params: Callable[[dict[str, Any]], Params]
) -> None:
    ws, params = trained, make_params(TINY)

    evaluate.run(ws, params, recipe="regions3d")

    folder = ws.model("regions3d")
    verdict = read_json(folder.verdict)
    assert sorted(verdict["folds"]) == verdict["cases"]["train"]
    assert set(verdict["folds"].values()) == {0, 1}
    assert sorted(path.name for path in folder.path.glob("*.keras")) == ["fold-0.keras", "fold-1.keras"]
    history = pd.read_csv(ws.history("regions3d"))
    assert list(history["fold"]) == [0, 0, 1, 1]
    assert {"val_loss", "loss"} <= set(history)
    unseen = ws.evaluation("out_of_fold", "regions3d")
    assert sorted(pd.read_csv(unseen.cases)["case_id"]) == verdict["cases"]["train"]
    assert len(unseen.masks()) == len(verdict["folds"])


def test_the_model_is_the_mean_of_its_folds(
    trained: Workspace, make_params: Callable[[dict[str, Any]], Params]
) -> None:
    model = load_segmentation_model(trained.model("regions3d"))
    channels = make_params(TINY).recipe("regions3d").channels
    patches = np.random.default_rng(0).normal(size=(1, *model.windows[0], channels)).astype(np.float32)

    single = []
    for fold in range(2):
        with model.only(fold):
            single.append(np.array(model.predict_on_batch(patches)))

    assert not np.allclose(single[0], single[1])
    assert model.predict_on_batch(patches) == pytest.approx(np.mean(single, axis=0), abs=1e-6)
    assert model.passes == 4


def test_a_training_that_is_done_is_read_back_whole(
    trained: Workspace, make_params: Callable[[dict[str, Any]], Params], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill in the last fold, or before the model's folder was written."""
    model = trained.model("regions3d")
    before = [file.path.read_bytes() for file in (*model.networks(2), trained.history("regions3d"))]
    monkeypatch.chdir(trained.root)

    train.run(trained, make_params(TINY), recipe="regions3d")

    assert [file.path.read_bytes() for file in (*model.networks(2), trained.history("regions3d"))] == before


def test_a_plan_of_another_recipe_is_refused(
    split_cohort: Workspace, make_params: Callable[[dict[str, Any]], Params]
) -> None:
    changed = make_params(TINY | {"recipes.regions3d.epochs": 3})

    with pytest.raises(
        ConfigError, match=r"recipes.regions3d.epochs has another value .* run `brats plan --recipe regions3d"
    ):
        train.run(split_cohort, changed, recipe="regions3d")


def test_a_patch_that_does_not_fit_the_network_planned_for_it_is_refused(
    split_cohort: Workspace, make_params: Callable[[dict[str, Any]], Params]
) -> None:
    params = make_params(TINY | {"recipes.regions3d.patch": [36, 36, 36], "recipes.regions3d.filters": None})

    with pytest.raises(ConfigError, match=r"recipes.regions3d.patch does not fit .* must have multiples of"):
        plan.run(split_cohort, params, recipe="regions3d")


def test_more_folds_than_training_patients_are_refused(
    split_cohort: Workspace, make_params: Callable[[dict[str, Any]], Params]
) -> None:
    with pytest.raises(CohortError, match=r"cannot fill 20 folds: lower train\.folds"):
        train.run(split_cohort, make_params(TINY | {"train.folds": 20}), recipe="regions3d")
    assert not split_cohort.model("regions3d").path.exists()
