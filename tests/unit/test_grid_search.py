from typing import Any

import numpy as np
import pytest

from brats_ml.errors import ConfigError
from brats_ml.survival.grid_search import SearchResult, search
from brats_ml.survival.patients import Patients
from brats_ml.survival.prediction import predict

GRIDS = {
    "random_forest": {"n_estimators": [1, 5], "criterion": ["gini"]},
    "svm": {"C": [1, 10], "kernel": ["linear", "rbf"]},
    "knn": {"n_neighbors": [1, 5, 38], "weights": ["uniform"]},
    "cox": {"penalty": [0.001, 1.0]},
}


def patients(count: int = 45, *, seed: int = 0, alive: int = 0) -> Patients:
    """Return patients who live the shorter the higher their features; the last `alive` were alive when last seen."""
    random = np.random.default_rng(seed)
    code = np.arange(count) % 3
    groups = np.array(["short", "mid", "long"])[code].astype("U5")
    groups[count - alive :] = ""
    features = random.normal(size=(count, 4)) - code[:, None]
    return Patients(
        [f"P{row}" for row in range(count)], features, groups, 150.0 + 200 * code + random.uniform(0, 50, count)
    )


def found(name: str, known: Patients, **changes: int) -> SearchResult:
    return search(name, GRIDS[name], known, limits_days=[300, 450], **({"folds": 3, "seed": 0} | changes))


@pytest.mark.parametrize("name", GRIDS)
def test_the_same_seed_gives_the_same_model(name: str) -> None:
    known = patients()

    first, second = (found(name, known, seed=1) for _ in range(2))

    assert first.best == second.best
    np.testing.assert_array_equal(
        predict(first.model, known.features).probabilities, predict(second.model, known.features).probabilities
    )


def test_no_more_neighbours_are_asked_for_than_an_inner_fold_has_rows() -> None:
    tried = found("knn", patients(30)).combinations  # three folds leave 20 rows

    assert {combination["n_neighbors"] for combination in tried} == {1, 5}


def test_a_group_smaller_than_the_folds_makes_fewer_folds() -> None:
    assert found("svm", patients(12), folds=10).scores.shape[1] == 4  # four patients a group


@pytest.mark.parametrize(
    ("name", "grid", "reason"),
    [
        ("svm", {"kernel": ["linear", "cubic"]}, "'kernel' parameter of SVC"),
        ("knn", {"weights": ["uniform", "foo"]}, "'weights' parameter of KNeighborsClassifier"),
        ("knn", {"n_neighbors": [0, 3]}, "'n_neighbors' parameter of KNeighborsClassifier"),
        ("random_forest", {"n_estimators": [0, 5]}, "'n_estimators' parameter of RandomForestClassifier"),
        ("cox", {"penalty": [-1]}, "penalty -1 is negative"),
        ("cox", {"penalty": ["a", "b"]}, ""),
    ],
)
def test_a_value_that_the_estimator_does_not_take_is_refused_in_one_sentence(
    name: str, grid: dict[str, list[Any]], reason: str
) -> None:
    refusal = rf"survival.grids.{name} in params.yaml holds a value that cannot be fitted: .*{reason}"
    with pytest.raises(ConfigError, match=refusal):
        search(name, grid, patients(), limits_days=[300, 450], folds=3, seed=0)


def test_a_classifier_learns_nothing_from_who_was_alive_and_a_model_of_time_does() -> None:
    with_alive = patients(60, alive=15)
    without = with_alive.labelled

    for name, same in (("knn", True), ("cox", False)):
        predicted = [
            predict(found(name, known).model, with_alive.features).probabilities for known in (with_alive, without)
        ]
        assert np.allclose(*predicted) is same


def test_a_survival_forest_without_its_library_is_refused_with_what_to_do() -> None:
    try:
        import sksurv  # noqa: F401
    except ImportError:
        with pytest.raises(ConfigError, match=r"needs scikit-survival, which is GPL-3 .* or remove the estimator"):
            search("random_survival_forest", {}, patients(), limits_days=[300, 450], folds=3, seed=0)
    else:
        pytest.skip("scikit-survival is installed here")
