"""The estimators by name, each in a pipeline with its own scaler, and the combinations of their grids."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterGrid, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

from brats_ml.errors import ConfigError
from brats_ml.near_names import check_known
from brats_ml.survival.cox import Cox
from brats_ml.survival.survival_forest import SurvivalForest

Features = NDArray[np.float64]  # (patient, feature), columns in the order of the chosen features
Groups = NDArray[np.str_]  # (patient,)
ParamGrid = Mapping[str, Sequence[float | int | str]]
Combination = dict[str, float | int | str]

AGE_ALONE = "age"  # reads the age and nothing else; a model that is not better than this one is of no use
# Brute force is as fast on a few hundred patients, and its fitted model holds plain arrays only.
CLASSIFIERS: dict[str, Callable[[int], Any]] = {
    "random_forest": lambda seed: RandomForestClassifier(random_state=seed, n_jobs=1),
    "svm": lambda _: SVC(),
    "knn": lambda _: KNeighborsClassifier(algorithm="brute", n_jobs=1),
    AGE_ALONE: lambda _: LogisticRegression(),
}
TIME_MODELS: dict[str, Callable[[int], Any]] = {
    "cox": lambda _: Cox(),
    "random_survival_forest": lambda seed: SurvivalForest(seed=seed),
}
KERNEL_PARAMETERS = {"linear": (), "poly": ("degree", "gamma"), "rbf": ("gamma",), "sigmoid": ("gamma",)}


def make_estimator(name: str, *, seed: int) -> Pipeline:
    """Return an unfitted pipeline of `scaler` and `classifier`, so that the scaler learns from the training fold alone.

    Raises:
        ConfigError: No estimator has this name.
    """
    known = CLASSIFIERS | TIME_MODELS
    check_known(name, known, what="estimator", key="estimator")
    return Pipeline([("scaler", MinMaxScaler()), ("classifier", known[name](seed))])


def with_parameters(name: str, combination: Mapping[str, Any], *, seed: int) -> Pipeline:
    """Return an unfitted estimator with one combination of its grid."""
    return make_estimator(name, seed=seed).set_params(
        **{f"classifier__{key}": value for key, value in combination.items()}
    )


def calibrated(estimator: Pipeline, features: Features, groups: Groups, *, folds: int, seed: int) -> Any:
    """Return a classifier fitted on all rows, with probabilities calibrated on held-out rows.

    The classifier divides its scores by one temperature, which a cross-validation within these rows finds (C. Guo et
    al., "On Calibration of Modern Neural Networks", ICML 2017). A temperature keeps the order of the scores, so the
    most probable group is the predicted group. Without calibration a support vector machine has no probabilities, and
    a single tree has only 0 and 1.
    """
    parts = StratifiedKFold(fewer_folds(groups, folds), shuffle=True, random_state=seed)
    return CalibratedClassifierCV(clone(estimator), method="temperature", ensemble=False, cv=parts).fit(
        features, groups
    )


def fewer_folds(groups: Groups, folds: int) -> int:
    """Return `folds`, or the number of patients in the smallest group if that is less."""
    return min(folds, int(np.unique(groups, return_counts=True)[1].min()))


def grid_combinations(name: str, grid: ParamGrid, *, rows: int) -> list[Combination]:
    """Return the distinct combinations of a grid in scikit-learn's order, so that ties have the same winner.

    Only the polynomial kernel of an SVM uses the degree, and the linear kernel does not use gamma. Combinations that
    differ in an unused parameter alone count as one. k-NN takes at most as many neighbours as it has training rows.

    Args:
        name: Name of an estimator.
        grid: Values to try for each parameter.
        rows: Number of training rows.

    Raises:
        ConfigError: The grid names a parameter that the estimator does not have, or no combination remains.
        ValueError: scikit-learn does not accept a value.
    """
    parameters = make_estimator(name, seed=0)["classifier"].get_params()
    for parameter in grid:
        check_known(parameter, parameters, what=f"in the grid of {name}, parameter", key=f"survival.grids.{name}")
    distinct: dict[tuple[tuple[str, Any], ...], Combination] = {}
    for full in ParameterGrid(dict(grid)):
        combination = {key: value for key, value in full.items() if _matters(key, full)}
        if int(combination.get("n_neighbors", 1)) <= rows:
            distinct.setdefault(tuple(sorted(combination.items())), combination)
    for combination in distinct.values() if name in CLASSIFIERS else ():
        # scikit-learn validates in `fit`, which the shared fits do not call for every combination.
        with_parameters(name, combination, seed=0)["classifier"]._validate_params()
    if not distinct:
        raise ConfigError(f"no value in the grid of {name} suits {rows} training rows", key=f"survival.grids.{name}")
    return list(distinct.values())


def _matters(key: str, combination: Mapping[str, Any]) -> bool:
    if key not in ("degree", "gamma"):
        return True
    return key in KERNEL_PARAMETERS.get(combination.get("kernel", "rbf"), (key,))
