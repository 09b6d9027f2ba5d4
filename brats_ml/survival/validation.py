"""Repeated stratified nested cross-validation: every choice is made inside the fold that it is judged on.

Beside the searched estimator stand rows that it has to beat on the same folds: always the commonest group, and age
alone, by logistic regression for groups and by Cox for days.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler

from brats_ml.cohort.clinical import GROUPS
from brats_ml.survival.cox import Cox
from brats_ml.survival.estimators import Groups, Point
from brats_ml.survival.grid_search import Searched
from brats_ml.survival.patients import Patients
from brats_ml.survival.prediction import Prediction, predict
from brats_ml.survival.time_models import outcomes

Search = Callable[[Patients], Searched]
SHUFFLES = 10  # of each feature, to measure its importance


@dataclass(frozen=True)
class Fold:
    """What one outer fold held out and what was told of it.

    Attributes:
        repeat: Index of the repetition.
        fold: Index of the fold within it.
        rows: Held-out patients, the labelled ones first, shape (row,).
        prediction: By the searched estimator.
        majority: The commonest group of the training part, and the shares of all.
        age_only: By logistic regression on age.
        age_days: By Cox on age, beside a model of time; else None.
        best: The combination that won the search in the training part.
        importance: Of each feature, the accuracy that is lost where it is shuffled among the held-out patients, shape
            (feature,); of the first repetition alone, else None.
    """

    repeat: int
    fold: int
    rows: NDArray[np.intp]
    prediction: Prediction
    majority: Prediction
    age_only: Prediction
    age_days: Prediction | None
    best: Point
    importance: NDArray[np.float64] | None


def too_small(counts: dict[str, int], folds: int) -> str | None:
    """Return why nested cross-validation cannot be done with so many patients in each group, or None if it can.

    Every outer fold needs one patient of each group, and what remains must still make two inner folds.
    """
    needed = max(folds, 4)
    name, smallest = min(counts.items(), key=lambda item: item[1])
    if smallest >= needed:
        return None
    remedy = (
        "lower survival.folds, or move survival.limits_days" if folds > smallest > 3 else "move survival.limits_days"
    )
    return (
        f"group {name} has {smallest} patient{'s' * (smallest != 1)}, and {folds} nested folds need {needed}: {remedy}"
    )


def nested_folds(
    patients: Patients, *, search: Search, age_column: int, folds: int, repeats: int, seed: int, jobs: int = 1
) -> Iterator[Fold]:
    """Yield the `folds` x `repeats` outer folds, each searched afresh on its own training part.

    The labelled patients are stratified by group. Those who were alive when last seen are dealt out among the folds.

    Args:
        patients: All that may be learnt from.
        search: Given the training part, returns the searched and refitted estimator.
        age_column: Column of the features that holds age.
        folds: Outer folds of each repetition.
        repeats: Repetitions with other folds.
        seed: Of the folds.
        jobs: Folds at a time, by joblib; a surrounding `joblib.parallel_config` chooses the backend.
    """
    parts = _parts(patients, folds=folds, repeats=repeats, seed=seed)
    work = (
        delayed(_judge)(patients, rows, search=search, age_column=age_column, place=divmod(index, folds), seed=seed)
        for index, rows in enumerate(parts)
    )
    yield from Parallel(n_jobs=jobs, return_as="generator")(work)


def age_alone(patients: Patients, age_column: int) -> Pipeline:
    """Return logistic regression of the group on age, fitted; it has nothing to be chosen."""
    return make_pipeline(MinMaxScaler(), LogisticRegression()).fit(
        patients.features[:, [age_column]][patients.dead], patients.groups[patients.dead]
    )


def majority_group(groups: Groups) -> str:
    """Return the group with most patients; of equals the first in the alphabet."""
    names, counts = np.unique(groups, return_counts=True)
    return str(names[counts.argmax()])


def _parts(patients: Patients, *, folds: int, repeats: int, seed: int) -> Iterator[NDArray[np.intp]]:
    labelled, alive = np.flatnonzero(patients.dead), np.flatnonzero(~patients.dead)
    splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    for index, (_, rows) in enumerate(splitter.split(labelled, patients.groups[labelled])):
        dealt = np.random.default_rng([seed, index // folds]).permutation(alive)
        yield np.concatenate([labelled[rows], dealt[index % folds :: folds]])


def _judge(
    patients: Patients, rows: NDArray[np.intp], *, search: Search, age_column: int, place: tuple[int, int], seed: int
) -> Fold:
    training = patients.take(np.setdiff1d(np.arange(len(patients.names)), rows))
    held_out = patients.take(rows)
    searched = search(training)
    prediction = predict(searched.model, held_out.features)
    age = held_out.features[:, [age_column]]
    return Fold(
        repeat=place[0],
        fold=place[1],
        rows=rows,
        prediction=prediction,
        majority=_majority(training.labelled.groups, len(rows)),
        age_only=predict(age_alone(training, age_column), age),
        age_days=None if prediction.risk is None else predict(_age_days(training, age_column), age),
        best=searched.best,
        importance=None if place[0] else _importance(searched.model, held_out.labelled, seed),
    )


def _majority(groups: Groups, count: int) -> Prediction:
    shares = np.array([(groups == group).mean() for group in GROUPS])
    return Prediction(np.full(count, majority_group(groups)), np.tile(shares, (count, 1)))


def _age_days(patients: Patients, age_column: int) -> Pipeline:
    lives = outcomes(patients.days, patients.dead)
    return make_pipeline(MinMaxScaler(), Cox()).fit(patients.features[:, [age_column]], lives)


def _importance(model: Any, held_out: Patients, seed: int) -> NDArray[np.float64]:
    found = permutation_importance(
        model, held_out.features, held_out.groups, scoring="accuracy", n_repeats=SHUFFLES, random_state=seed
    )
    return np.asarray(found.importances_mean)
