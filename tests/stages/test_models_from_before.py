"""Models made before the modules were moved; golden/before_the_move/README.md says how they came to be."""

import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from brats_ml.models.folder import read_recipe
from brats_ml.models.segmentation import load_segmentation_model
from brats_ml.models.survival import SurvivalModel
from brats_ml.workspace.outputs import ModelFolder, SurvivalFolder

MADE_BEFORE = Path(__file__).parents[1] / "golden/before_the_move"
REGISTERED = MADE_BEFORE / "registered"
NETWORKS = {
    "seed_mini": (REGISTERED / "segmentation/data/seed_mini", np.s_[::4, ::2, ::2]),
    "regions3d": (MADE_BEFORE / "regions3d", np.s_[:, ::4, ::4, ::4]),
}
ESTIMATORS = {
    "cox": REGISTERED / "survival/data/cox",
    "random_forest": MADE_BEFORE / "random_forest",
    "knn": MADE_BEFORE / "knn",
}


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    """An image, and for each network the label map and the sample of probabilities that the code of then gave."""
    with np.load(MADE_BEFORE / "segmentation.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    """Features of patients, and for each estimator the answers that the code of then gave."""
    found: dict[str, Any] = json.loads((MADE_BEFORE / "survival.json").read_text())
    return found


@pytest.fixture
def import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take back what MLflow adds to the import path for a model."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_a_recipe_of_the_method_seed_is_read_as_one_of_the_baseline() -> None:
    folder, _ = NETWORKS["seed_mini"]

    assert json.loads((folder / "recipe.json").read_text())["method"] == "seed"
    assert read_recipe(ModelFolder(folder)).method == "baseline"


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_predicts_what_it_predicted_before(name: str, arrays: dict[str, np.ndarray]) -> None:
    folder, sample = NETWORKS[name]

    labels, probabilities = load_segmentation_model(ModelFolder(folder), runtime="keras")(arrays["image"])

    before = arrays[f"{name}_labels"]
    np.testing.assert_array_equal(labels if name == "seed_mini" else without_former_small_pieces(labels), before)
    np.testing.assert_allclose(probabilities[sample], arrays[f"{name}_probabilities"], atol=1e-5)
    assert set(np.unique(labels)) == {0, 1, 2, 3}


def without_former_small_pieces(labels: np.ndarray) -> np.ndarray:
    """Drop pieces below 200 voxels or a tenth of the largest, as the rules of `regions3d` did; they stay now."""
    pieces, _ = ndimage.label(labels != 0, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())
    small = sizes < max(200, 0.1 * sizes[1:].max())
    assert small[1:].any()
    return np.where(small[pieces], 0, labels)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_predicts_what_it_predicted_before(name: str, answers: dict[str, Any]) -> None:
    predicted = SurvivalModel(SurvivalFolder(ESTIMATORS[name]))(pd.DataFrame(answers["features"]))

    assert_same_answers(predicted, answers["predictions"][name])


def test_mlflow_loads_a_registered_network_by_the_old_name_of_its_loader(
    arrays: dict[str, np.ndarray], import_path: None
) -> None:
    model = mlflow.pyfunc.load_model(str(REGISTERED / "segmentation"))

    labels = model.predict({"image": arrays["image"].astype(np.float32)})["labels"]

    assert model.loader_module == "brats_ml.stages.serving"
    np.testing.assert_array_equal(labels, arrays["seed_mini_labels"])


def test_mlflow_loads_a_registered_estimator_by_the_old_name_of_its_loader(
    answers: dict[str, Any], import_path: None
) -> None:
    model = mlflow.pyfunc.load_model(str(REGISTERED / "survival"))

    assert_same_answers(model.predict(pd.DataFrame(answers["features"])), answers["predictions"]["cox"])


def assert_same_answers(predicted: pd.DataFrame, before: dict[str, list[Any]]) -> None:
    assert predicted.columns.tolist() == list(before)
    for name, values in before.items():
        if name in ("group", "reason"):
            assert predicted[name].tolist() == values
        else:
            np.testing.assert_allclose(predicted[name].tolist(), values, atol=1e-5)
