"""Repeated, stratified, nested cross-validation: every choice is made on the training part of an outer fold.

The estimator has to beat two rows on the same folds. One always predicts the most frequent group. The other knows the
age alone and predicts the group by logistic regression, and the days by Cox's model.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from sklearn.inspection import permutation_importance
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler

from brats_ml.cohort.clinical import GROUPS
from brats_ml.survival.cox import Cox
from brats_ml.survival.estimators import AGE_ALONE, Combination, Groups, make_estimator
from brats_ml.survival.grid_search import SearchResult
from brats_ml.survival.patients import Patients
from brats_ml.survival.prediction import Prediction, predict
from brats_ml.survival.time_models import outcomes

Search = Callable[[Patients], SearchResult]
SHUFFLES = 10  # per feature, to measure its importance


@dataclass(frozen=True)
class Fold:
    """The held-out patients of one outer fold, and the predictions for them.

    Attributes:
        repeat: Index of the repetition.
        fold: Index of the fold within the repetition.
        rows: Held-out patients, the labelled ones first, shape (row,).
        prediction: Prediction of the estimator.
        majority: Prediction of the most frequent group of the training part, with the shares of all groups.
        age_only: Prediction of the group by logistic regression on age.
        age_days: Prediction of the days by Cox's model on age, if the estimator is a model of time; otherwise None.
        best: The combination that won the search in the training part.
        importance: Accuracy lost by shuffling each feature among the held-out patients, shape (feature,). Only the
            first repetition measures it; None in the others.
    """

    repeat: int
    fold: int
    rows: NDArray[np.intp]
    prediction: Prediction
    majority: Prediction
    age_only: Prediction
    age_days: Prediction | None
    best: Combination
    importance: NDArray[np.float64] | None


def too_small(counts: dict[str, int], folds: int) -> str | None:
    """Return why nested cross-validation is impossible with these numbers of patients per group, or None if it works.

    Every outer fold needs one patient of each group, and the remaining patients have to fill two inner folds.
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
    """Yield the `folds` x `repeats` outer folds, each with a search of its own on its training part.

    The labelled patients are stratified by group. Patients who were alive when last seen are spread over the folds.

    Args:
        patients: All patients outside the locked test set.
        search: Searches the grid on a training part and returns the refitted estimator.
        age_column: Index of the age among the features.
        folds: Outer folds of each repetition.
        repeats: Number of repetitions, each with different folds.
        seed: Seed of the folds.
        jobs: Number of folds that joblib runs at the same time. `joblib.parallel_config` around the call chooses the
            backend.
    """
    parts = _parts(patients, folds=folds, repeats=repeats, seed=seed)
    work = (
        delayed(_run_fold)(patients, rows, search=search, age_column=age_column, number=divmod(index, folds), seed=seed)
        for index, rows in enumerate(parts)
    )
    yield from Parallel(n_jobs=jobs, return_as="generator")(work)


def age_alone(patients: Patients, age_column: int) -> Pipeline:
    """Return a fitted logistic regression of the group on age, which needs no search."""
    known = patients.labelled
    return make_estimator(AGE_ALONE, seed=0).fit(known.features[:, [age_column]], known.groups)


def majority_group(groups: Groups) -> str:
    """Return the most frequent group, the first in the alphabet of equally frequent ones."""
    names, counts = np.unique(groups, return_counts=True)
    return str(names[counts.argmax()])


def _parts(patients: Patients, *, folds: int, repeats: int, seed: int) -> Iterator[NDArray[np.intp]]:
    labelled, alive = np.flatnonzero(patients.dead), np.flatnonzero(~patients.dead)
    splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    for index, (_, rows) in enumerate(splitter.split(labelled, patients.groups[labelled])):
        shuffled = np.random.default_rng([seed, index // folds]).permutation(alive)
        yield np.concatenate([labelled[rows], shuffled[index % folds :: folds]])


def _run_fold(
    patients: Patients, rows: NDArray[np.intp], *, search: Search, age_column: int, number: tuple[int, int], seed: int
) -> Fold:
    training = patients.take(np.setdiff1d(np.arange(len(patients.names)), rows))
    held_out = patients.take(rows)
    found = search(training)
    prediction = predict(found.model, held_out.features)
    age = held_out.features[:, [age_column]]
    return Fold(
        repeat=number[0],
        fold=number[1],
        rows=rows,
        prediction=prediction,
        majority=_majority(training.labelled.groups, len(rows)),
        age_only=predict(age_alone(training, age_column), age),
        age_days=None if prediction.risk is None else predict(_age_days(training, age_column), age),
        best=found.best,
        importance=None if number[0] else _importance(found.model, held_out.labelled, seed),
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
