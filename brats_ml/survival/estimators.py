"""The seed's three classifiers, each behind a scaler of its own, and the search of their grids."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, ParameterGrid, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from brats_ml.errors import ConfigError

Features = NDArray[np.float64]  # (patient, feature), columns in the order of survival.features.FEATURES
Groups = NDArray[np.str_]  # (patient,)
Grid = Mapping[str, Sequence[float | int | str]]
Point = dict[str, float | int | str]

CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    "random_forest": lambda seed: RandomForestClassifier(random_state=seed, n_jobs=1),
    # Class only, as the seed has it: scikit-learn 1.9 deprecates probability=True.
    "svm": lambda _: SVC(),
    # Brute force is as fast on some hundred patients, and the fitted model then holds plain arrays only.
    "knn": lambda _: KNeighborsClassifier(algorithm="brute", n_jobs=1),
}
KERNEL_PARAMETERS = {"linear": (), "poly": ("degree", "gamma"), "rbf": ("gamma",), "sigmoid": ("gamma",)}


def make_estimator(name: str, *, seed: int) -> Pipeline:
    """Return an unfitted pipeline of `scaler` and `classifier`; the scaler thus learns from the training fold alone.

    Raises:
        ConfigError: No such estimator is known.
    """
    if name not in CLASSIFIERS:
        raise ConfigError(f"estimator {name} is not known; known are: {', '.join(CLASSIFIERS)}", key="estimator")
    return Pipeline([("scaler", MinMaxScaler()), ("classifier", CLASSIFIERS[name](seed))])


def grid_points(name: str, grid: Grid, *, rows: int) -> list[Point]:
    """Return the distinct combinations of a grid in scikit-learn's order, so that ties fall as in the full grid.

    An SVM's degree matters to the polynomial kernel alone and its gamma not to the linear one, so combinations that
    differ in nothing else are one. k-NN cannot ask for more neighbours than the `rows` it is fitted on.

    Raises:
        ConfigError: The grid names a parameter that the estimator does not have, or no combination is left.
    """
    unknown = set(grid) - set(make_estimator(name, seed=0)["classifier"].get_params())
    if unknown:
        raise ConfigError(f"the grid of {name} has an unknown parameter: {min(unknown)}", key=f"survival.grids.{name}")
    points: list[Point] = []
    for combination in ParameterGrid(dict(grid)):
        point = {key: value for key, value in combination.items() if _matters(key, combination)}
        if point not in points and int(point.get("n_neighbors", 1)) <= rows:
            points.append(point)
    if not points:
        raise ConfigError(f"no value in the grid of {name} suits {rows} training rows", key=f"survival.grids.{name}")
    return points


def search(name: str, grid: Grid, features: Features, groups: Groups, *, folds: int, seed: int) -> GridSearchCV:
    """Search a grid by stratified cross-validated accuracy and refit the winner on all rows.

    There are `folds` folds, or as many as the smallest group has patients where that is fewer.

    Args:
        name: A key of `CLASSIFIERS`.
        grid: Values to try for each parameter of the classifier.
        features: Shape (patient, feature).
        groups: Shape (patient,).
        folds: Parts of the cross-validation.
        seed: Of the shuffling and of the classifier.

    Raises:
        ConfigError: The estimator is not known, or its grid holds a parameter or a value that it does not take.
    """
    smallest = int(np.unique(groups, return_counts=True)[1].min())
    splits = StratifiedKFold(min(folds, smallest), shuffle=True, random_state=seed)
    rows = min(len(training) for training, _ in splits.split(features, groups))
    points = grid_points(name, grid, rows=rows)
    prefixed = [{f"classifier__{key}": [value] for key, value in point.items()} for point in points]
    estimator = make_estimator(name, seed=seed)
    searching = GridSearchCV(estimator, prefixed, cv=splits, scoring="accuracy", n_jobs=1, error_score="raise")
    try:
        # On so few rows threads only wait for each other, and the estimators' searches run side by side.
        with threadpool_limits(1):
            return searching.fit(features, groups)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"the grid of {name} cannot be fitted: {reason}", key=f"survival.grids.{name}") from error


def best_parameters(searched: GridSearchCV) -> Point:
    """Return the winning combination under the classifier's own parameter names."""
    return {key.removeprefix("classifier__"): value for key, value in searched.best_params_.items()}


def _matters(key: str, combination: Mapping[str, Any]) -> bool:
    if key not in ("degree", "gamma"):
        return True
    return key in KERNEL_PARAMETERS.get(combination.get("kernel", "rbf"), (key,))
