"""The search of a grid by cross-validation, and the winner fitted on all rows."""

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
    TIME_MODELS,
    Features,
    ParamGrid,
    Point,
    calibrated,
    fewer_folds,
    grid_points,
    with_parameters,
)
from brats_ml.survival.patients import Patients
from brats_ml.survival.shared_fits import sweep
from brats_ml.survival.time_models import outcomes

Scores = NDArray[np.float64]  # (combination, part)
Parts = Sequence[tuple[NDArray[np.intp], NDArray[np.intp]]]


@dataclass(frozen=True)
class Searched:
    """What a search found.

    Attributes:
        points: The combinations that were tried.
        scores: Of each on each held-out part: accuracy, or of a model of time the concordance; (combination, part).
        model: The winner, fitted on all rows.
    """

    points: list[Point]
    scores: NDArray[np.float64]
    model: Any

    @property
    def best(self) -> Point:
        """The combination with the highest mean score; of equals the first."""
        return self.points[winner(self.scores)]

    @property
    def score(self) -> float:
        """The mean score of the best."""
        return float(self.scores.mean(axis=1).max())


def winner(scores: NDArray[np.float64]) -> int:
    """Return the first row with the highest mean, as scikit-learn's GridSearchCV ranks."""
    return int(np.average(scores, axis=1).argmax())


def search(
    name: str, grid: ParamGrid, patients: Patients, *, limits_days: Sequence[int], folds: int, seed: int
) -> Searched:
    """Search a grid by stratified cross-validation and fit the winner on all rows.

    A classifier learns from labelled patients and is chosen by accuracy; a model of time learns from censored ones too
    and is chosen by concordance. There are `folds` folds, or as many as the smallest group has patients where that is
    fewer. The scaler is fitted on the training part of each fold.

    Args:
        name: Of an estimator.
        grid: Values to try for each of its parameters.
        patients: To learn from.
        limits_days: Ends of the groups.
        folds: Parts of the cross-validation.
        seed: Of the shuffling and of the estimator.

    Raises:
        ConfigError: The estimator is not known, or its grid holds a parameter or a value that it does not take.
    """
    try:
        # On so few rows threads only wait for each other, and the estimators' searches run side by side.
        with threadpool_limits(1):
            if name in TIME_MODELS:
                points, scores = _times(name, grid, patients, folds=folds, seed=seed)
            else:
                points, scores = _groups(name, grid, patients.labelled, folds=folds, seed=seed)
            best = points[winner(scores)]
            model = refit(name, best, patients, limits_days=limits_days, folds=folds, seed=seed)
            return Searched(points, scores, model)
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, ConfigError):
            raise
        reason, key = str(error).splitlines()[0], f"survival.grids.{name}"
        raise ConfigError(f"{key} in params.yaml holds a value that cannot be fitted: {reason}", key=key) from error


def group_scores(
    name: str,
    points: Sequence[Point],
    features: Features,
    groups: NDArray[Any],
    parts: Parts,
    *,
    seed: int,
    scaler: Callable[[], Any] = MinMaxScaler,
) -> NDArray[np.float64]:
    """Return the accuracy of each combination on each held-out part, shape (combination, part).

    Args:
        name: Of a classifier.
        points: Combinations of its parameters.
        features: Shape (patient, feature).
        groups: Shape (patient,); or one column a group, all of which must be right, shape (patient, group).
        parts: Rows of the training and of the held-out part of each fold.
        seed: Of the classifier.
        scaler: Makes what is fitted on the training part and scales both.
    """
    scores = np.empty((len(points), len(parts)))
    for column, (training, held_out) in enumerate(parts):
        scale = scaler().fit(features[training])
        learnt, unseen = scale.transform(features[training]), scale.transform(features[held_out])
        right = sweep(name, points, learnt, groups[training], unseen, seed=seed) == groups[held_out]
        scores[:, column] = right.reshape(len(points), len(held_out), -1).all(axis=2).mean(axis=1)
    return scores


def refit(name: str, point: Point, patients: Patients, *, limits_days: Sequence[int], folds: int, seed: int) -> Any:
    """Return one combination fitted on all rows: a classifier calibrated, a model of time with its groups' limits.

    Args:
        name: Of an estimator.
        point: Values of its parameters.
        patients: To learn from.
        limits_days: Ends of the groups.
        folds: Parts of the cross-validation that calibrates.
        seed: Of its shuffling and of the estimator.
    """
    estimator = with_parameters(name, point, seed=seed)
    if name not in TIME_MODELS:
        known = patients.labelled
        return calibrated(estimator, known.features, known.groups, folds=folds, seed=seed)
    estimator.set_params(classifier__limits_days=tuple(limits_days))
    return estimator.fit(patients.features, outcomes(patients.days, patients.dead))


def _groups(name: str, grid: ParamGrid, patients: Patients, *, folds: int, seed: int) -> tuple[list[Point], Scores]:
    splits = StratifiedKFold(fewer_folds(patients.groups, folds), shuffle=True, random_state=seed)
    parts = list(splits.split(patients.features, patients.groups))
    points = grid_points(name, grid, rows=min(len(training) for training, _ in parts))
    return points, group_scores(name, points, patients.features, patients.groups, parts, seed=seed)


def _times(name: str, grid: ParamGrid, patients: Patients, *, folds: int, seed: int) -> tuple[list[Point], Scores]:
    points = grid_points(name, grid, rows=len(patients.names))
    if len(points) == 1:
        return points, np.zeros((1, 1))
    labelled = np.flatnonzero(patients.dead)
    splits = StratifiedKFold(fewer_folds(patients.groups[labelled], folds), shuffle=True, random_state=seed)
    held_out = [labelled[part] for _, part in splits.split(labelled, patients.groups[labelled])]
    scores = np.empty((len(points), len(held_out)))
    for column, rows in enumerate(held_out):
        others = patients.take(np.setdiff1d(np.arange(len(patients.names)), rows))
        lives = outcomes(others.days, others.dead)
        for index, point in enumerate(points):
            model = with_parameters(name, point, seed=seed).fit(others.features, lives)
            risk = model["classifier"].risk(model["scaler"].transform(patients.features[rows]))
            scores[index, column] = concordance(patients.days[rows], patients.dead[rows], risk)
    return points, scores
