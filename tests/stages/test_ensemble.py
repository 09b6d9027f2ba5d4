"""An ensemble: recipes that differ, trained and registered as one model."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dvc.repo import Repo

from brats_ml.adapters.case_files.array_file import read_case
from brats_ml.config import Params
from brats_ml.errors import ConfigError
from brats_ml.files import read_json
from brats_ml.imaging.geometry import uncrop
from brats_ml.models.folder import network_files
from brats_ml.models.segmentation import load_segmentation_model
from brats_ml.stages import acquire, evaluate, plan, preprocess, source, split, train, validate
from brats_ml.workspace import Workspace

MEMBERS = ("regions2d", "regions3d")
TINY: dict[str, Any] = {
    "train.recipes": ["ensemble"],
    "features.predicted_by": "ensemble",
    "train.folds": 2,
    "evaluate.figures": 0,
    "evaluate.preset": "fast",
    **{f"recipes.ensemble.members.{name}.epochs": 1 for name in MEMBERS},
    **{f"recipes.ensemble.members.{name}.epoch_steps": 3 for name in MEMBERS},
    **{f"recipes.ensemble.members.{name}.batch": 1 for name in MEMBERS},
    **{f"recipes.ensemble.members.{name}.filters": [4, 8] for name in MEMBERS},
    "recipes.ensemble.members.regions3d.patch": [16, 16, 16],
}


@pytest.fixture(scope="module")
def trained(make_params: Callable[[dict[str, Any]], Params], tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny cohort and an ensemble with a network for each member and fold."""
    ws, params = Workspace(tmp_path_factory.mktemp("ensemble")), make_params(TINY)
    for stage in (source, acquire, validate, preprocess, split):
        stage.run(ws, params)
    plan.run(ws, params, recipe="ensemble")
    (ws.root / "dvc.yaml").write_text("stages: {train: {matrix: {recipe: [ensemble]}, cmd: train}}")
    Repo.init(str(ws.root), no_scm=True).close()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ws.root)  # where DVC looks for stages
        train.run(ws, params, recipe="ensemble")
    return ws


@pytest.mark.slow
def test_each_member_gets_the_sizes_that_it_leaves_open(trained: Workspace) -> None:
    members = read_json(trained.plan("ensemble"))["recipe"]["members"]

    assert len(members["regions2d"]["patch"]) == 2
    assert members["regions3d"]["patch"] == [16, 16, 16]


@pytest.mark.slow
def test_each_member_is_trained_in_each_fold(trained: Workspace) -> None:
    folder, history = trained.model("ensemble"), pd.read_csv(trained.history("ensemble"))

    assert list(zip(history["member"], history["fold"], strict=True)) == [
        (name, at) for name in MEMBERS for at in (0, 1)
    ]
    names = [str(path.relative_to(folder.path)) for path in network_files(folder)]
    assert names == [f"members/{name}/fold-{at}.keras" for name in MEMBERS for at in (0, 1)]


@pytest.mark.slow
def test_the_mean_of_the_members_counts(trained: Workspace) -> None:
    folder, case_id = trained.model("ensemble"), read_json(trained.model("ensemble").verdict)["cases"]["train"][0]
    case = read_case(trained.preprocessed.case(case_id))
    image = uncrop(case.image, case.start, case.full_shape)
    model = load_segmentation_model(folder, preset="fast")
    members = [load_segmentation_model(folder.member(name), preset="fast") for name in MEMBERS]

    for fold in (None, 0, 1):
        with model.only(fold):
            _, together = model(image)
        found = []
        for member in members:
            with member.only(fold):
                found.append(member(image)[1])
        assert np.abs(found[0] - found[1]).max() > 0.01
        np.testing.assert_allclose(together, np.mean(found, axis=0), atol=1e-6)

    assert model.passes == sum(member.passes for member in members)
    assert model.disagreement is not None
    assert (model.disagreement > 0).all()
    assert all(name in model.cost() for name in MEMBERS)


@pytest.mark.slow
def test_training_patients_are_predicted_by_the_networks_that_did_not_see_them(
    trained: Workspace, make_params: Callable[[dict[str, Any]], Params], tmp_path: Path
) -> None:
    ws = Workspace(shutil.copytree(trained.root, tmp_path / "workspace"))

    evaluate.run(ws, make_params(TINY), recipe="ensemble")

    unseen = ws.evaluation("out_of_fold", "ensemble")
    assert sorted(pd.read_csv(unseen.cases)["case_id"]) == read_json(ws.model("ensemble").verdict)["cases"]["train"]
    assert {len(window) for window in read_json(ws.evaluation("validation", "ensemble").summary)["windows"]} == {2, 3}


@pytest.mark.slow
def test_one_window_for_all_members_is_refused(trained: Workspace) -> None:
    with pytest.raises(ConfigError, match=r"evaluate\.window is one size, but an ensemble has several networks"):
        load_segmentation_model(trained.model("ensemble"), window=(32, 32))


def test_an_ensemble_of_one_is_refused(make_params: Callable[[dict[str, Any]], Params]) -> None:
    member = make_params({}).recipe("regions2d").model_dump()

    with pytest.raises(ConfigError, match=r"recipes\.ensemble\.members"):
        make_params({"recipes.ensemble.members": {"regions2d": member}})
