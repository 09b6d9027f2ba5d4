"""The estimators by name, each behind a scaler of its own, and the combinations of their grids."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import ParameterGrid, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

from brats_ml.errors import ConfigError
from brats_ml.survival.cox import Cox
from brats_ml.survival.survival_forest import SurvivalForest

Features = NDArray[np.float64]  # (patient, feature), columns in the order of the chosen features
Groups = NDArray[np.str_]  # (patient,)
ParamGrid = Mapping[str, Sequence[float | int | str]]
Point = dict[str, float | int | str]

# Brute force is as fast on some hundred patients, and the fitted model then holds plain arrays only.
CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    "random_forest": lambda seed: RandomForestClassifier(random_state=seed, n_jobs=1),
    "svm": lambda _: SVC(),
    "knn": lambda _: KNeighborsClassifier(algorithm="brute", n_jobs=1),
}
TIME_MODELS: dict[str, Callable[[int], Any]] = {
    "cox": lambda _: Cox(),
    "random_survival_forest": lambda seed: SurvivalForest(seed=seed),
}
KERNEL_PARAMETERS = {"linear": (), "poly": ("degree", "gamma"), "rbf": ("gamma",), "sigmoid": ("gamma",)}


def make_estimator(name: str, *, seed: int) -> Pipeline:
    """Return an unfitted pipeline of `scaler` and `classifier`; the scaler thus learns from the training fold alone.

    Raises:
        ConfigError: No such estimator is known.
    """
    known = CLASSIFIERS | TIME_MODELS
    if name not in known:
        raise ConfigError(f"estimator {name} is not known; known are: {', '.join(known)}", key="estimator")
    return Pipeline([("scaler", MinMaxScaler()), ("classifier", known[name](seed))])


def with_parameters(name: str, point: Mapping[str, Any], *, seed: int) -> Pipeline:
    """Return an unfitted estimator with one combination of its grid."""
    return make_estimator(name, seed=seed).set_params(**{f"classifier__{key}": value for key, value in point.items()})


def calibrated(estimator: Pipeline, features: Features, groups: Groups, *, folds: int, seed: int) -> Any:
    """Return a classifier fitted on all rows, whose probabilities were fitted on rows that it had not seen.

    Its scores are divided by one temperature, found by cross-validation within these rows (C. Guo et al., "On
    Calibration of Modern Neural Networks", ICML 2017), which leaves their order alone, so that the most probable group
    is the one that the classifier names. A support vector machine has no probabilities of its own, and those of a
    single tree are 0 and 1.
    """
    parts = StratifiedKFold(fewer_folds(groups, folds), shuffle=True, random_state=seed)
    return CalibratedClassifierCV(clone(estimator), method="temperature", ensemble=False, cv=parts).fit(
        features, groups
    )


def fewer_folds(groups: Groups, folds: int) -> int:
    """Return `folds`, or as many as the smallest group has patients where that is fewer."""
    return min(folds, int(np.unique(groups, return_counts=True)[1].min()))


def grid_points(name: str, grid: ParamGrid, *, rows: int) -> list[Point]:
    """Return the distinct combinations of a grid in scikit-learn's order, so that ties fall as in the full grid.

    An SVM's degree matters to the polynomial kernel alone and its gamma not to the linear one, so combinations that
    differ in nothing else are one. k-NN cannot ask for more neighbours than the `rows` it is fitted on.

    Raises:
        ConfigError: The grid names a parameter that the estimator does not have, or no combination is left.
        ValueError: A value is none that scikit-learn takes.
    """
    unknown = set(grid) - set(make_estimator(name, seed=0)["classifier"].get_params())
    if unknown:
        raise ConfigError(f"the grid of {name} has an unknown parameter: {min(unknown)}", key=f"survival.grids.{name}")
    points: dict[tuple[tuple[str, Any], ...], Point] = {}
    for combination in ParameterGrid(dict(grid)):
        point = {key: value for key, value in combination.items() if _matters(key, combination)}
        if int(point.get("n_neighbors", 1)) <= rows:
            points.setdefault(tuple(sorted(point.items())), point)
    for point in points.values() if name in CLASSIFIERS else ():
        # What scikit-learn itself calls first in `fit`, which our shared fits would not reach.
        with_parameters(name, point, seed=0)["classifier"]._validate_params()
    if not points:
        raise ConfigError(f"no value in the grid of {name} suits {rows} training rows", key=f"survival.grids.{name}")
    return list(points.values())


def _matters(key: str, combination: Mapping[str, Any]) -> bool:
    if key not in ("degree", "gamma"):
        return True
    return key in KERNEL_PARAMETERS.get(combination.get("kernel", "rbf"), (key,))
