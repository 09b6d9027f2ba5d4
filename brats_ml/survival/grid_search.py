"""Grid search by cross-validation, and the winner fitted on all rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from sklearn.preprocessing import MinMaxScaler
from threadpoolctl import threadpool_limits

from brats_ml.errors import ConfigError
from brats_ml.survival.concordance import concordance
from brats_ml.survival.estimators import (
    AGE_ALONE,
    TIME_MODELS,
    Combination,
    Features,
    ParamGrid,
    calibrated,
    fewer_folds,
    grid_combinations,
    with_parameters,
)
from brats_ml.survival.patients import Patients
from brats_ml.survival.shared_fits import predict_combinations
from brats_ml.survival.time_models import outcomes

Scores = NDArray[np.float64]  # (combination, part)
Parts = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]


@dataclass(frozen=True)
class SearchResult:
    """The result of a grid search.

    Attributes:
        combinations: The tried combinations.
        scores: Accuracy on each held-out part, or concordance for a model of time, shape (combination, part).
        model: The winner, fitted on all rows.
    """

    combinations: list[Combination]
    scores: NDArray[np.float64]
    model: Any

    @property
    def best(self) -> Combination:
        """The first combination with the highest mean score."""
        return self.combinations[winner(self.scores)]

    @property
    def score(self) -> float:
        """The mean score of the best combination."""
        return float(self.scores.mean(axis=1).max())


def winner(scores: NDArray[np.float64]) -> int:
    """Return the index of the first row with the highest mean, as scikit-learn's GridSearchCV ranks."""
    return int(np.average(scores, axis=1).argmax())


def search(
    name: str, grid: ParamGrid, patients: Patients, *, limits_days: Sequence[int], folds: int, seed: int
) -> SearchResult:
    """Search a grid by stratified cross-validation and fit the winner on all rows.

    A classifier learns from labelled patients, and accuracy chooses the winner. A model of time learns from censored
    patients too, and concordance chooses the winner. If the smallest group has fewer patients than `folds`, that is the
    number of folds. The scaler is fitted on the training part of each fold.

    Args:
        name: Name of an estimator.
        grid: Values to try for each parameter.
        patients: Training patients.
        limits_days: Ends of the groups.
        folds: Folds of the cross-validation.
        seed: Seed of the shuffling and of the estimator.

    Raises:
        ConfigError: The estimator is not known, or does not accept a parameter or a value in its grid.
    """
    try:
        # On so few rows threads mostly wait for each other, and the searches of several estimators run in parallel.
        with threadpool_limits(1):
            if name in TIME_MODELS:
                combinations, scores = _search_times(name, grid, patients, folds=folds, seed=seed)
            else:
                combinations, scores = _search_groups(name, grid, patients.labelled, folds=folds, seed=seed)
            best = combinations[winner(scores)]
            model = refit(name, best, patients, limits_days=limits_days, folds=folds, seed=seed)
            return SearchResult(combinations, scores, model)
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, ConfigError):
            raise
        reason, key = str(error).splitlines()[0], f"survival.grids.{name}"
        raise ConfigError(f"{key} in params.yaml holds a value that cannot be fitted: {reason}", key=key) from error


def fold_accuracies(
    name: str,
    combinations: Sequence[Combination],
    features: Features,
    groups: NDArray[Any],
    parts: Parts,
    *,
    seed: int,
    scaler: Callable[[], Any] = MinMaxScaler,
) -> NDArray[np.float64]:
    """Return the accuracy of each combination on each held-out part, shape (combination, part).

    Args:
        name: Name of a classifier.
        combinations: Combinations of its parameters.
        features: Shape (patient, feature).
        groups: Shape (patient,). Or one column per group, all of which have to be right, shape (patient, group).
        parts: Training rows and held-out rows of each fold.
        seed: Seed of the classifier.
        scaler: Makes the scaler of each fold.
    """
    scores = np.empty((len(combinations), len(parts)))
    for column, (training, held_out) in enumerate(parts):
        scale = scaler().fit(features[training])
        seen, unseen = scale.transform(features[training]), scale.transform(features[held_out])
        right = predict_combinations(name, combinations, seen, groups[training], unseen, seed=seed) == groups[held_out]
        scores[:, column] = right.reshape(len(combinations), len(held_out), -1).all(axis=2).mean(axis=1)
    return scores


def refit(
    name: str, combination: Combination, patients: Patients, *, limits_days: Sequence[int], folds: int, seed: int
) -> Any:
    """Return one combination fitted on all rows: a calibrated classifier, or a model of time that knows the groups.

    Args:
        name: Name of an estimator.
        combination: Values of its parameters.
        patients: Training patients.
        limits_days: Ends of the groups.
        folds: Folds of the cross-validation that calibrates.
        seed: Seed of the shuffling and of the estimator.
    """
    estimator = with_parameters(name, combination, seed=seed)
    known = patients.labelled
    if name == AGE_ALONE:  # a logistic regression has calibrated probabilities
        return estimator.fit(known.features, known.groups)
    if name not in TIME_MODELS:
        return calibrated(estimator, known.features, known.groups, folds=folds, seed=seed)
    estimator.set_params(classifier__limits_days=tuple(limits_days))
    return estimator.fit(patients.features, outcomes(patients.days, patients.dead))


def _search_groups(
    name: str, grid: ParamGrid, patients: Patients, *, folds: int, seed: int
) -> tuple[list[Combination], Scores]:
    splits = StratifiedKFold(fewer_folds(patients.groups, folds), shuffle=True, random_state=seed)
    parts = list(splits.split(patients.features, patients.groups))
    combinations = grid_combinations(name, grid, rows=min(len(training) for training, _ in parts))
    return combinations, fold_accuracies(name, combinations, patients.features, patients.groups, parts, seed=seed)


def _search_times(
    name: str, grid: ParamGrid, patients: Patients, *, folds: int, seed: int
) -> tuple[list[Combination], Scores]:
    combinations = grid_combinations(name, grid, rows=len(patients.names))
    if len(combinations) == 1:
        return combinations, np.zeros((1, 1))
    labelled = np.flatnonzero(patients.dead)
    splits = StratifiedKFold(fewer_folds(patients.groups[labelled], folds), shuffle=True, random_state=seed)
    held_out = [labelled[part] for _, part in splits.split(labelled, patients.groups[labelled])]
    scores = np.empty((len(combinations), len(held_out)))
    for column, rows in enumerate(held_out):
        others = patients.take(np.setdiff1d(np.arange(len(patients.names)), rows))
        lives = outcomes(others.days, others.dead)
        for index, combination in enumerate(combinations):
            model = with_parameters(name, combination, seed=seed).fit(others.features, lives)
            risk = model["classifier"].risk(model["scaler"].transform(patients.features[rows]))
            scores[index, column] = concordance(patients.days[rows], patients.dead[rows], risk)
    return combinations, scores
