"""Repeated stratified nested cross-validation: every choice is made inside the fold that it is judged on.

Beside the searched estimator stand two rows that it has to beat on the same folds: always the commonest group, and
age alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student_t
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, RepeatedStratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler

from brats_ml.cohort.clinical import GROUPS
from brats_ml.survival.estimators import Features, Groups, best_parameters
from brats_ml.survival.patients import LabelledPatients

FOLD_COLUMNS = (
    "repeat",
    "fold",
    "patients",
    "accuracy",
    "balanced_accuracy",
    "majority_accuracy",
    "age_only_accuracy",
    "age_only_balanced_accuracy",
    "best",
)

Search = Callable[[Features, Groups], GridSearchCV]


@dataclass(frozen=True)
class Fold:
    """What one outer fold held out and what was predicted for it.

    Attributes:
        repeat: Index of the repetition.
        fold: Index of the fold within it.
        rows: Held-out rows, shape (row,).
        predicted: Groups by the searched estimator, shape (row,).
        majority: The commonest group of the training part, shape (row,).
        age_only: Groups by logistic regression on age, shape (row,).
        best: The combination that won the search in the training part.
    """

    repeat: int
    fold: int
    rows: NDArray[np.intp]
    predicted: Groups
    majority: Groups
    age_only: Groups
    best: dict[str, Any]


def too_small(counts: dict[str, int], folds: int) -> str | None:
    """Return why nested cross-validation cannot be done with so many patients in each group, or None if it can.

    Every outer fold needs one patient of each group, and what remains must still make two inner folds.
    """
    needed = max(folds, 4)
    name, smallest = min(counts.items(), key=lambda item: item[1])
    if smallest >= needed:
        return None
    return f"group {name} has {smallest} patient{'s' * (smallest != 1)}, and {folds} nested folds need {needed}"


def nested_folds(
    features: Features, groups: Groups, *, search: Search, age_column: int, folds: int, repeats: int, seed: int
) -> Iterator[Fold]:
    """Yield the `folds` x `repeats` outer folds, each searched afresh on its own training part.

    Args:
        features: Shape (patient, feature).
        groups: Shape (patient,).
        search: Given the training part, returns the searched and refitted estimator.
        age_column: Column of `features` that holds age.
        folds: Outer folds of each repetition, stratified by group.
        repeats: Repetitions with other folds.
        seed: Of the folds.
    """
    splitter = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    for index, (training, rows) in enumerate(splitter.split(features, groups)):
        searched = search(features[training], groups[training])
        age = make_pipeline(MinMaxScaler(), LogisticRegression())
        age.fit(features[training][:, [age_column]], groups[training])
        yield Fold(
            repeat=index // folds,
            fold=index % folds,
            rows=rows,
            predicted=searched.predict(features[rows]),
            majority=np.full(len(rows), commonest(groups[training])),
            age_only=age.predict(features[rows][:, [age_column]]),
            best=best_parameters(searched),
        )


def commonest(groups: Groups) -> str:
    """Return the group with most patients; of equals the first in the alphabet."""
    names, counts = np.unique(groups, return_counts=True)
    return str(names[counts.argmax()])


def fold_scores(folds: Sequence[Fold], groups: Groups) -> pd.DataFrame:
    """Return one row an outer fold: what it scored, and what the two rows to beat scored on the same patients."""
    return pd.DataFrame([_scores(fold, groups[fold.rows]) for fold in folds], columns=list(FOLD_COLUMNS))


def out_of_fold(folds: Sequence[Fold], patients: LabelledPatients) -> pd.DataFrame:
    """Return what each patient was predicted while held out: patient, group, repeat, predicted; by patient."""
    parts = [
        pd.DataFrame(
            {
                "patient": np.array(patients.names)[fold.rows],
                "group": patients.groups[fold.rows],
                "repeat": fold.repeat,
                "predicted": fold.predicted,
            }
        )
        for fold in folds
    ]
    return pd.concat(parts).sort_values(["patient", "repeat"], ignore_index=True)


def predictions(estimator: Pipeline, patients: LabelledPatients) -> pd.DataFrame:
    """Return patient, group, predicted and, where the estimator gives them, `probability_<group>`; maybe no row."""
    table = pd.DataFrame({"patient": patients.names, "group": patients.groups, "predicted": patients.groups})
    if table.empty:
        return table
    table["predicted"] = estimator.predict(patients.features)
    if hasattr(estimator, "predict_proba"):
        columns = [f"probability_{group}" for group in estimator.classes_]
        probabilities = pd.DataFrame(estimator.predict_proba(patients.features), columns=columns)
        table = table.join(probabilities[[f"probability_{group}" for group in GROUPS]])
    return table


def _scores(fold: Fold, truth: Groups) -> dict[str, Any]:
    return {
        "repeat": fold.repeat,
        "fold": fold.fold,
        "patients": len(truth),
        "accuracy": accuracy_score(truth, fold.predicted),
        "balanced_accuracy": balanced_accuracy_score(truth, fold.predicted),
        "majority_accuracy": accuracy_score(truth, fold.majority),
        "age_only_accuracy": accuracy_score(truth, fold.age_only),
        "age_only_balanced_accuracy": balanced_accuracy_score(truth, fold.age_only),
        "best": " ".join(f"{key}={value}" for key, value in sorted(fold.best.items())),
    }


def interval(scores: NDArray[np.float64], *, folds: int, level: float = 0.95) -> dict[str, float]:
    """Return the mean of the outer folds' scores with a confidence interval, as `mean`, `low`, `high`.

    Folds share most of their training patients, so their scores are not independent and the usual interval is too
    narrow. This is Student's with the corrected variance of C. Nadeau and Y. Bengio, "Inference for the Generalization
    Error", Machine Learning 52, 2003: the variance over the J folds is weighted by 1/J + (test size / training size),
    here 1/J + 1/(folds - 1). It is an approximation, and it is cut to 0..1.

    Args:
        scores: Shape (outer fold,), at least two.
        folds: Outer folds of one repetition.
        level: Confidence.
    """
    count = len(scores)
    mean = float(scores.mean())
    error = float(np.sqrt((1 / count + 1 / (folds - 1)) * scores.var(ddof=1)))
    half = float(student_t.ppf(0.5 + level / 2, df=count - 1)) * error
    return {"mean": mean, "low": max(0.0, mean - half), "high": min(1.0, mean + half)}
