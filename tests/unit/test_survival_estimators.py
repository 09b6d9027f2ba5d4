from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from brats_ml.errors import ConfigError
from brats_ml.survival.estimators import CLASSIFIERS, calibrated, grid_combinations, make_estimator, with_parameters

SVM = {"C": [0.1, 10], "kernel": ["linear", "poly", "rbf", "sigmoid"], "degree": [1, 3], "gamma": [0.01, 1]}


def patients(count: int = 45, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features that separate three groups, with noise."""
    random = np.random.default_rng(seed)
    groups = np.array(["short", "mid", "long"])[np.arange(count) % 3]
    features = random.normal(size=(count, 4)) + np.arange(count)[:, None] % 3
    return features, groups


def test_an_unknown_estimator_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="boosting is unknown; known are: random_forest, svm, knn, age, cox, random_"):
        make_estimator("boosting", seed=0)


def test_an_unknown_parameter_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="trees"):
        grid_combinations("random_forest", {"trees": [1]}, rows=10)


def test_each_kernel_is_tried_only_with_the_parameters_that_it_has() -> None:
    combinations = grid_combinations("svm", SVM, rows=10)

    # For each of 2 C: linear 1, poly 2 degrees x 2 gammas, rbf 2 gammas, sigmoid 2 gammas; of 32 combinations.
    assert len(combinations) == 2 * (1 + 4 + 2 + 2)
    assert {"C": 0.1, "kernel": "linear"} in combinations
    assert {"C": 10, "kernel": "poly", "degree": 3, "gamma": 1} in combinations


def test_a_grid_without_kernels_keeps_the_gamma_of_the_default_kernel() -> None:
    assert grid_combinations("svm", {"gamma": [0.1, 1], "degree": [2, 3]}, rows=10) == [{"gamma": 0.1}, {"gamma": 1}]


def test_a_grid_of_too_many_neighbours_alone_is_refused() -> None:
    with pytest.raises(ConfigError, match="no value in the grid of knn suits 10 training rows"):
        grid_combinations("knn", {"n_neighbors": [11, 12]}, rows=10)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_scaler_is_part_of_the_estimator_so_that_units_do_not_matter(name: str) -> None:
    features, groups = patients()
    units = np.array([1.0, 1000.0, 0.001, 12.0])

    plain = make_estimator(name, seed=0).fit(features, groups).predict(features)
    scaled = make_estimator(name, seed=0).fit(features * units, groups).predict(features * units)

    np.testing.assert_array_equal(plain, scaled)


@pytest.mark.parametrize(("name", "combination"), [("random_forest", {"n_estimators": 5}), ("knn", {"n_neighbors": 5})])
def test_calibration_changes_probabilities_and_not_the_group(name: str, combination: Mapping[str, Any]) -> None:
    features, groups = patients(seed=1)
    plain = with_parameters(name, combination, seed=0).fit(features, groups)

    found = calibrated(with_parameters(name, combination, seed=0), features, groups, folds=3, seed=0)

    unseen, _ = patients(60, seed=2)
    np.testing.assert_array_equal(found.predict(unseen), plain.predict(unseen))
    assert not np.allclose(found.predict_proba(unseen), plain.predict_proba(unseen))


def test_calibration_of_a_single_tree_takes_its_certainty_away() -> None:
    features, groups = patients(60, seed=1)
    groups = np.random.default_rng(0).permutation(groups)

    found = calibrated(with_parameters("random_forest", {"n_estimators": 1}, seed=0), features, groups, folds=3, seed=0)

    # After shuffling, no group has much more than a third of the probability; the tree itself says 0 or 1.
    assert found.predict_proba(features).max() < 0.6
