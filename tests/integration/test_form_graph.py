"""What a form does to the params.yaml and to the graph of a repository."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from brats_ml.config import load
from brats_ml.config.edit import Change, override
from brats_ml.errors import ConfigError
from brats_ml.orchestration.dag import form
from brats_ml.orchestration.dag.graph import Graph

ROOT = Path(__file__).resolve().parents[2]
RECIPES = {"baseline", "baseline_mini", "ensemble", "regions3d", "regions2d"}
UNTOUCHED: dict[str, Any] = dict.fromkeys(("source", "recipes", "epochs", "folds", "set"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC repository with the stages of this one."""
    root = tmp_path_factory.mktemp("repository")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=root, check=True)
    shutil.copy(ROOT / "dvc.yaml", root)
    return root


@pytest.fixture(scope="module")
def drawn(repository: Path) -> Graph:
    shutil.copy(ROOT / "params.yaml", repository)
    return form.offered_graph(repository)


@pytest.fixture
def clone(repository: Path) -> Path:
    shutil.copy(ROOT / "params.yaml", repository)
    return repository


@pytest.mark.parametrize(
    ("chosen", "predicted_by"), [(["regions2d"], "regions2d"), (["regions2d", "baseline_mini"], "baseline_mini")]
)
def test_any_declared_recipe_can_run_and_the_label_maps_follow(
    drawn: Graph, clone: Path, chosen: list[str], predicted_by: str
) -> None:
    prepared = form.apply(UNTOUCHED | {"recipes": chosen}, clone=clone, checkout=None, drawn=drawn)

    left_out = RECIPES - set(chosen)
    params = load(clone / "params.yaml")
    assert (params.train.recipes, params.features.predicted_by) == (chosen, predicted_by)
    assert Change("train.recipes", ["baseline_mini"], chosen) in prepared.changes
    assert set(prepared.skipped) == {
        f"{stage}@{recipe}" for stage in ("plan", "train", "evaluate") for recipe in left_out
    }


def test_what_the_form_changes_is_noted_and_what_it_repeats_is_not(drawn: Graph, clone: Path) -> None:
    floor = "gate.patients.segmentation.minimum_cases"
    before = load(clone / "params.yaml").gate.patients.segmentation.minimum_cases

    form_values = UNTOUCHED | {"set": [f"{floor}=1", "train.seed=0"]}
    prepared = form.apply(form_values, clone=clone, checkout=None, drawn=drawn)

    assert prepared.changes == (Change(floor, before, 1),)


def test_a_revision_with_another_gate_than_the_checkout_is_noted(drawn: Graph, clone: Path, tmp_path: Path) -> None:
    checkout = Path(shutil.copytree(clone, tmp_path / "checkout"))
    key = "gate.patients.approve_first"
    override(clone / "params.yaml", [f"{key}=false"])

    prepared = form.apply(UNTOUCHED, clone=clone, checkout=checkout, drawn=drawn)

    assert prepared.changes == (Change(key, True, False),)


def test_parameters_that_take_a_stage_away_are_refused(drawn: Graph, clone: Path) -> None:
    with pytest.raises(ConfigError, match="it has no stage survival@"):
        form.apply(UNTOUCHED | {"set": ["survival.estimators=[svm]"]}, clone=clone, checkout=None, drawn=drawn)
