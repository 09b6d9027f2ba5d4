"""Tables and summaries of nested cross-validation: scores per fold, held-out predictions, means with intervals."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brats_ml.cohort.clinical import GROUPS
from brats_ml.intervals import (
    Rows,
    Values,
    fold_interval,
    fold_p_value,
    mean_interval,
    percentile_interval,
    resampled_rows,
)
from brats_ml.survival.patients import Patients
from brats_ml.survival.prediction import Prediction
from brats_ml.survival.scores import (
    DAYS_SCORES,
    GROUP_SCORES,
    calibration_error,
    days_scores,
    group_scores,
    log_likelihoods,
)
from brats_ml.survival.validation import Fold

ROWS = ("majority", "age_only")  # the rows that every estimator has to beat
FOLD_COLUMNS = (
    "repeat",
    "fold",
    "patients",
    *GROUP_SCORES,
    *(f"{row}_{score}" for row in ROWS for score in GROUP_SCORES),
    "best",
)
PROBABILITIES = tuple(f"probability_{group}" for group in GROUPS)
AGE_ONLY_PROBABILITIES = tuple(f"age_only_{name}" for name in PROBABILITIES)
TEST_COLUMNS = ("patient", "group", "predicted", *PROBABILITIES, *AGE_ONLY_PROBABILITIES)


def fold_scores(folds: Sequence[Fold], patients: Patients) -> pd.DataFrame:
    """Return one row per outer fold: the scores of the estimator and of the rows to beat, on the same patients."""
    return pd.DataFrame([_scores(fold, patients) for fold in folds], columns=list(FOLD_COLUMNS))


def out_of_fold(folds: Sequence[Fold], patients: Patients) -> pd.DataFrame:
    """Return the held-out predictions of each patient, one row per repetition, ordered by patient.

    Columns: patient, group (empty for patients who were alive), survival_days, event, repeat, predicted, the
    probabilities, age_only and its probabilities. A model of time adds expected_days, risk, age_only_expected_days and
    age_only_risk.
    """
    names = np.array(patients.names)
    parts = []
    for fold in folds:
        part = pd.DataFrame(
            {
                "patient": names[fold.rows],
                "group": patients.groups[fold.rows],
                "survival_days": patients.days[fold.rows],
                "event": patients.dead[fold.rows].astype(np.int64),
                "repeat": fold.repeat,
                "predicted": fold.prediction.groups,
            }
        )
        part[list(PROBABILITIES)] = fold.prediction.probabilities
        part["age_only"] = fold.age_only.groups
        part[list(AGE_ONLY_PROBABILITIES)] = fold.age_only.probabilities
        if fold.age_days is not None:
            part["expected_days"], part["risk"] = fold.prediction.expected_days, fold.prediction.risk
            part["age_only_expected_days"], part["age_only_risk"] = fold.age_days.expected_days, fold.age_days.risk
        parts.append(part)
    return pd.concat(parts).sort_values(["patient", "repeat"], ignore_index=True)


def predictions(prediction: Prediction, age_only: Prediction, patients: Patients) -> pd.DataFrame:
    """Return `TEST_COLUMNS`: the predictions of an estimator for some patients, and those by age alone."""
    table = pd.DataFrame({"patient": patients.names, "group": patients.groups, "predicted": prediction.groups})
    table[list(PROBABILITIES)] = prediction.probabilities
    table[list(AGE_ONLY_PROBABILITIES)] = age_only.probabilities
    return table


def group_summary(scores: pd.DataFrame, held_out: pd.DataFrame, *, folds: int, seed: int) -> dict[str, Any]:
    """Return every score with its interval, the scores of the rows to beat, and the paired tests against age alone.

    Args:
        scores: As `fold_scores` returns it.
        held_out: As `out_of_fold` returns it.
        folds: Outer folds of one repetition.
        seed: Seed of the bootstrap.
    """
    found: dict[str, Any] = {}
    for name in GROUP_SCORES:
        greatest = {"log_loss": np.inf, "brier": 2.0}.get(name, 1.0)
        found[name] = asdict(fold_interval(scores[name].to_numpy(), folds=folds, scale=(0.0, greatest)))
        found |= {f"{row}_{name}": float(scores[f"{row}_{name}"].mean()) for row in ROWS}
    labelled = held_out[held_out["event"] == 1]
    everyone = np.arange(labelled["patient"].nunique())
    error = float(_calibration_error(labelled, PROBABILITIES, everyone))
    resampled = _calibration_error(labelled, PROBABILITIES, resampled_rows(len(everyone), seed=seed))
    found["calibration_error"] = asdict(percentile_interval(error, resampled))
    found["age_only_calibration_error"] = float(_calibration_error(labelled, AGE_ONLY_PROBABILITIES, everyone))
    found["against_age_only"] = _accuracy_against_age_only(scores, labelled, folds=folds, seed=seed)
    found["log_loss_against_age_only"] = _log_loss_against_age_only(scores, labelled, folds=folds, seed=seed)
    return found


def days_summary(held_out: pd.DataFrame, *, seed: int) -> dict[str, Any]:
    """Return `DAYS_SCORES` of a model of time and of age alone, averaged over the repetitions, with intervals.

    `minus_age_only` is the difference of the two. Its interval takes both from the same resamples.

    Args:
        held_out: As `out_of_fold` returns it for a model of time.
        seed: Seed of the bootstrap.
    """
    everyone = np.arange(held_out["patient"].nunique())
    dead = (held_out.groupby("patient")["event"].first() == 1).to_numpy()
    rows = [everyone, *(drawn for drawn in resampled_rows(len(everyone), seed=seed) if dead[drawn].any())]
    own, age = (_days_scores(held_out, prefix, rows) for prefix in ("", "age_only_"))
    return {
        name: {
            **asdict(percentile_interval(float(own[0, score]), own[1:, score])),
            "age_only": float(age[0, score]),
            "minus_age_only": asdict(
                percentile_interval(float(own[0, score] - age[0, score]), own[1:, score] - age[1:, score])
            ),
        }
        for score, name in enumerate(DAYS_SCORES)
    }


def mean_importance(folds: Sequence[Fold], names: Sequence[str]) -> dict[str, float]:
    """Return the accuracy lost by shuffling each feature, averaged over the folds of one repetition."""
    measured = np.mean([fold.importance for fold in folds if fold.importance is not None], axis=0)
    return dict(zip(names, measured.tolist(), strict=True))


def _calibration_error(labelled: pd.DataFrame, columns: Sequence[str], rows: Rows) -> Values:
    """Return the calibration error of the patients in `rows`, shape (..., patient), averaged over the repetitions."""
    by_repeat = [part.sort_values("patient") for _, part in labelled.groupby("repeat")]
    truth = by_repeat[0]["group"].to_numpy(dtype=np.str_)[rows]
    errors = [calibration_error(truth, part[list(columns)].to_numpy()[rows]) for part in by_repeat]
    return np.asarray(np.mean(errors, axis=0))


def _days_scores(held_out: pd.DataFrame, prefix: str, rows: Sequence[NDArray[np.intp]]) -> Values:
    """Return `DAYS_SCORES` of each selection of patients, averaged over the repetitions, shape (selection, score)."""
    by_repeat = [
        (
            part["survival_days"].to_numpy(dtype=np.float64),
            part["event"].to_numpy() == 1,
            part[f"{prefix}expected_days"].to_numpy(dtype=np.float64),
            part[f"{prefix}risk"].to_numpy(dtype=np.float64),
        )
        for _, part in held_out.sort_values(["repeat", "patient"]).groupby("repeat")
    ]
    found = []
    for drawn in rows:
        scores = [days_scores(*(values[drawn] for values in part)) for part in by_repeat]
        found.append([float(np.mean([score[name] for score in scores])) for name in DAYS_SCORES])
    return np.array(found)


def _accuracy_against_age_only(
    scores: pd.DataFrame, labelled: pd.DataFrame, *, folds: int, seed: int
) -> dict[str, Any]:
    right = (labelled["predicted"] == labelled["group"]).astype(np.float64)
    age_right = (labelled["age_only"] == labelled["group"]).astype(np.float64)
    return _gain(scores["accuracy"] - scores["age_only_accuracy"], right - age_right, labelled, folds=folds, seed=seed)


def _log_loss_against_age_only(
    scores: pd.DataFrame, labelled: pd.DataFrame, *, folds: int, seed: int
) -> dict[str, Any]:
    truth = labelled["group"].to_numpy(dtype=np.str_)
    own, age = (
        log_likelihoods(truth, labelled[list(columns)].to_numpy(dtype=np.float64))
        for columns in (PROBABILITIES, AGE_ONLY_PROBABILITIES)
    )
    by_row = pd.Series(own - age, index=labelled.index)
    return _gain(scores["age_only_log_loss"] - scores["log_loss"], by_row, labelled, folds=folds, seed=seed)


def _gain(by_fold: pd.Series, by_row: pd.Series, labelled: pd.DataFrame, *, folds: int, seed: int) -> dict[str, Any]:
    """Return a gain with its intervals over folds and over patients; it is beaten if both are above zero."""
    by_patient = np.asarray(by_row.groupby(labelled["patient"]).mean(), dtype=np.float64)
    over_folds, over_patients = fold_interval(by_fold.to_numpy(), folds=folds), mean_interval(by_patient, seed=seed)
    return {
        "folds": asdict(over_folds) | {"p": fold_p_value(by_fold.to_numpy(), folds=folds)},
        "patients": asdict(over_patients),
        "beaten": over_folds.above_zero and over_patients.above_zero,
    }


def _scores(fold: Fold, patients: Patients) -> dict[str, Any]:
    labelled = patients.dead[fold.rows]
    truth = patients.groups[fold.rows][labelled]
    found: dict[str, Any] = {"repeat": fold.repeat, "fold": fold.fold, "patients": len(truth)}
    for prefix, predicted in (("", fold.prediction), ("majority_", fold.majority), ("age_only_", fold.age_only)):
        scored = group_scores(truth, predicted.groups[labelled], predicted.probabilities[labelled])
        found |= {f"{prefix}{name}": value for name, value in scored.items()}
    return found | {"best": " ".join(f"{key}={value}" for key, value in sorted(fold.best.items()))}
