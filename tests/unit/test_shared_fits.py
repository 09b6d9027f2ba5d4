"""Shared fits against scikit-learn's own grid search, which fits every combination alone."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, ParameterGrid, StratifiedKFold

from brats_ml.survival.estimators import CLASSIFIERS, grid_combinations, make_estimator
from brats_ml.survival.grid_search import fold_accuracies, winner
from brats_ml.survival.shared_fits import predict_combinations

GRIDS: dict[str, dict[str, list[Any]]] = {
    "random_forest": {"n_estimators": [1, 2, 7], "criterion": ["gini", "entropy"], "max_depth": [2, None]},
    "svm": {"C": [0.1, 10], "kernel": ["linear", "poly", "rbf", "sigmoid"], "degree": [1, 3], "gamma": [0.01, 1]},
    "knn": {"n_neighbors": [1, 2, 3, 8, 19], "p": [1, 2, 3], "weights": ["uniform", "distance"]},
}


def patients(count: int, *, seed: int, decimals: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    groups = random.permutation(np.array(["short", "mid", "long"])[np.arange(count) % 3])
    features = random.normal(size=(count, 4)) + (groups == "long")[:, None]
    return features if decimals is None else np.round(features, decimals), groups


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("decimals", [None, 0])
def test_every_combination_predicts_what_it_predicts_alone(name: str, decimals: int | None) -> None:
    # Rounded to whole numbers many neighbours are equally far and many votes equal.
    features, groups = patients(60, seed=3, decimals=decimals)
    unseen, _ = patients(40, seed=4, decimals=decimals)
    combinations = list(ParameterGrid(GRIDS[name]))

    found = predict_combinations(name, combinations, features, groups, unseen, seed=5)

    for combination, predicted in zip(combinations, found, strict=True):
        alone = clone(CLASSIFIERS[name](5)).set_params(**combination).fit(features, groups)
        np.testing.assert_array_equal(predicted, alone.predict(unseen), err_msg=str(combination))


def test_the_first_trees_of_a_forest_are_the_smaller_forest() -> None:
    features, groups = patients(50, seed=0)
    small, large = (RandomForestClassifier(n, random_state=7).fit(features, groups) for n in (4, 9))

    for one, other in zip(small.estimators_, large.estimators_, strict=False):
        assert one.random_state == other.random_state
        np.testing.assert_array_equal(one.tree_.threshold, other.tree_.threshold)
        np.testing.assert_array_equal(one.tree_.value, other.tree_.value)


def test_a_forest_on_one_column_a_group_predicts_what_it_predicts_alone() -> None:
    features, groups = patients(60, seed=3)
    targets = (groups[:, None] == np.array(["short", "mid", "long"])).astype(int)
    unseen, _ = patients(40, seed=4)
    combinations = list(ParameterGrid({"n_estimators": [1, 2, 5], "criterion": ["gini", "entropy"]}))

    found = predict_combinations("random_forest", combinations, features, targets, unseen, seed=5)

    for combination, predicted in zip(combinations, found, strict=True):
        alone = RandomForestClassifier(random_state=5, **combination).fit(features, targets)
        np.testing.assert_array_equal(predicted, alone.predict(unseen), err_msg=str(combination))


@pytest.mark.parametrize("name", GRIDS)
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_winner_and_scores_are_those_of_a_plain_grid_search(name: str, seed: int) -> None:
    features, groups = patients(45, seed=seed)
    parts = list(StratifiedKFold(3, shuffle=True, random_state=seed).split(features, groups))
    prefixed = {f"classifier__{key}": values for key, values in GRIDS[name].items()}
    plain = GridSearchCV(make_estimator(name, seed=0), prefixed, cv=parts, scoring="accuracy").fit(features, groups)
    combinations = grid_combinations(name, GRIDS[name], rows=30)

    scores = fold_accuracies(name, combinations, features, groups, parts, seed=0)

    best = {key.removeprefix("classifier__"): value for key, value in plain.best_params_.items()}
    assert combinations[winner(scores)].items() <= best.items()
    assert scores.mean(axis=1).max() == plain.best_score_
    splits = np.array([plain.cv_results_[f"split{fold}_test_score"] for fold in range(3)]).T
    if name != "svm":  # of which the shortened grid has fewer combinations
        np.testing.assert_array_equal(scores, splits)
