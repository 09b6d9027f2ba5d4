import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from brats_ml.errors import ConfigError
from brats_ml.survival.estimators import CLASSIFIERS, best_parameters, grid_points, make_estimator, search

SVM = {"C": [0.1, 10], "kernel": ["linear", "poly", "rbf", "sigmoid"], "degree": [1, 3], "gamma": [0.01, 1]}
KNN = {"n_neighbors": [1, 5, 38], "p": [1, 2], "weights": ["uniform", "distance"]}
FOREST = {"n_estimators": [1, 5], "criterion": ["gini", "entropy"]}


def patients(count: int = 45, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features that tell three groups apart, with noise."""
    random = np.random.default_rng(seed)
    groups = np.array(["short", "mid", "long"])[np.arange(count) % 3]
    features = random.normal(size=(count, 4)) + np.arange(count)[:, None] % 3
    return features, groups


def test_an_unknown_estimator_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="boosting is not known; known are: random_forest, svm, knn"):
        make_estimator("boosting", seed=0)


def test_an_unknown_parameter_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="trees"):
        grid_points("random_forest", {"trees": [1]}, rows=10)


def test_a_value_that_the_classifier_does_not_take_is_refused_in_one_sentence() -> None:
    features, groups = patients()

    with pytest.raises(ConfigError, match=r"the grid of svm cannot be fitted: .*kernel"):
        search("svm", {"kernel": ["cubic"]}, features, groups, folds=3, seed=0)


def test_each_kernel_is_tried_only_with_the_parameters_that_it_has() -> None:
    points = grid_points("svm", SVM, rows=10)

    # For each of 2 C: linear 1, poly 2 degrees x 2 gammas, rbf 2 gammas, sigmoid 2 gammas; of 32 combinations.
    assert len(points) == 2 * (1 + 4 + 2 + 2)
    assert {"C": 0.1, "kernel": "linear"} in points
    assert {"C": 10, "kernel": "poly", "degree": 3, "gamma": 1} in points


def test_a_grid_without_kernels_keeps_the_gamma_of_the_default_kernel() -> None:
    assert grid_points("svm", {"gamma": [0.1, 1], "degree": [2, 3]}, rows=10) == [{"gamma": 0.1}, {"gamma": 1}]


@pytest.mark.parametrize("seed", range(5))
def test_the_shortened_svm_grid_has_the_winner_of_the_full_one(seed: int) -> None:
    features, groups = patients(seed=seed)
    full = GridSearchCV(
        make_estimator("svm", seed=0),
        {f"classifier__{key}": values for key, values in SVM.items()},
        cv=StratifiedKFold(3, shuffle=True, random_state=seed),
        scoring="accuracy",
    ).fit(features, groups)

    short = search("svm", SVM, features, groups, folds=3, seed=seed)

    assert short.best_score_ == full.best_score_
    assert best_parameters(short).items() <= best_parameters(full).items()
    np.testing.assert_array_equal(short.predict(features), full.predict(features))


def test_no_more_neighbours_are_asked_for_than_an_inner_fold_has_rows() -> None:
    features, groups = patients(30)  # three folds leave 20 rows

    tried = search("knn", KNN, features, groups, folds=3, seed=0).cv_results_["param_classifier__n_neighbors"]

    assert set(tried) == {1, 5}


def test_a_grid_of_too_many_neighbours_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match="no value in the grid of knn suits 10 training rows"):
        grid_points("knn", {"n_neighbors": [11, 12]}, rows=10)


@pytest.mark.parametrize(("name", "grid"), [("random_forest", FOREST), ("svm", SVM), ("knn", KNN)])
def test_the_same_seed_gives_the_same_estimator(name: str, grid: dict) -> None:
    features, groups = patients()

    first, second = (search(name, grid, features, groups, folds=3, seed=1) for _ in range(2))

    assert first.best_params_ == second.best_params_
    np.testing.assert_array_equal(first.predict(features), second.predict(features))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_scaler_is_part_of_the_estimator_so_that_units_do_not_matter(name: str) -> None:
    features, groups = patients()
    units = np.array([1.0, 1000.0, 0.001, 12.0])

    plain = make_estimator(name, seed=0).fit(features, groups).predict(features)
    scaled = make_estimator(name, seed=0).fit(features * units, groups).predict(features * units)

    np.testing.assert_array_equal(plain, scaled)


def test_a_group_smaller_than_the_folds_makes_fewer_folds() -> None:
    features, groups = patients(12)  # four patients a group

    assert search("svm", {"C": [1]}, features, groups, folds=10, seed=0).n_splits_ == 4
