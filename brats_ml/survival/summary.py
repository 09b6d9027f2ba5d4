"""What nested cross-validation found, folded into tables and figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brats_ml.cohort.clinical import GROUPS
from brats_ml.survival.intervals import corrected_t, interval, over_patients
from brats_ml.survival.patients import Patients
from brats_ml.survival.prediction import Prediction
from brats_ml.survival.scores import DAYS_SCORES, GROUP_SCORES, calibration_error, days_scores, group_scores
from brats_ml.survival.validation import Fold

ROWS = ("majority", "age_only")  # what every estimator stands beside
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
TEST_COLUMNS = ("patient", "group", "predicted", *PROBABILITIES)
RESAMPLES = 1000


def fold_scores(folds: Sequence[Fold], patients: Patients) -> pd.DataFrame:
    """Return one row an outer fold: what it scored, and what the rows to beat scored on the same patients."""
    return pd.DataFrame([_scores(fold, patients) for fold in folds], columns=list(FOLD_COLUMNS))


def out_of_fold(folds: Sequence[Fold], patients: Patients) -> pd.DataFrame:
    """Return what each patient was predicted while held out, one row a repetition, by patient.

    Columns: patient, group (empty for who was alive), survival_days, event, repeat, predicted, the probabilities,
    age_only and its probabilities; of a model of time also expected_days, risk, age_only_expected_days, age_only_risk.
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
                "predicted": fold.told.groups,
            }
        )
        part[list(PROBABILITIES)] = fold.told.probabilities
        part["age_only"] = fold.age_only.groups
        part[list(AGE_ONLY_PROBABILITIES)] = fold.age_only.probabilities
        if fold.age_days is not None:
            part["expected_days"], part["risk"] = fold.told.expected_days, fold.told.risk
            part["age_only_expected_days"], part["age_only_risk"] = fold.age_days.expected_days, fold.age_days.risk
        parts.append(part)
    return pd.concat(parts).sort_values(["patient", "repeat"], ignore_index=True)


def predictions(told: Prediction | None, patients: Patients) -> pd.DataFrame:
    """Return patient, group, predicted and the probabilities; where there is nobody, no row."""
    table = pd.DataFrame({"patient": patients.names, "group": patients.groups})
    if told is None:
        return table.reindex(columns=list(TEST_COLUMNS))
    table["predicted"] = told.groups
    table[list(PROBABILITIES)] = told.probabilities
    return table


def group_summary(scores: pd.DataFrame, held_out: pd.DataFrame, *, folds: int, seed: int) -> dict[str, Any]:
    """Return every score with its interval, those of the rows to beat, and the paired tests against age alone.

    Args:
        scores: As `fold_scores` makes it.
        held_out: As `out_of_fold` makes it.
        folds: Outer folds of one repetition.
        seed: Of the bootstrap.
    """
    found: dict[str, Any] = {}
    for name in GROUP_SCORES:
        greatest = {"log_loss": np.inf, "brier": 2.0}.get(name, 1.0)
        found[name] = interval(scores[name].to_numpy(), folds=folds, greatest=greatest)
        found |= {f"{row}_{name}": float(scores[f"{row}_{name}"].mean()) for row in ROWS}
    labelled = held_out[held_out["event"] == 1]
    found["calibration_error"] = _calibration(labelled, PROBABILITIES, seed=seed)
    found["age_only_calibration_error"] = _calibration(labelled, AGE_ONLY_PROBABILITIES, seed=seed)["mean"]
    found["against_age_only"] = _against_age_only(scores, labelled, folds=folds, seed=seed)
    return found


def days_summary(held_out: pd.DataFrame, *, seed: int) -> dict[str, Any]:
    """Return `DAYS_SCORES` of a model of time and of age alone, the mean over repetitions, with intervals.

    `minus_age_only` is the difference of the two, its interval over the same drawn patients.

    Args:
        held_out: As `out_of_fold` makes it for a model of time.
        seed: Of the bootstrap.
    """
    by_repeat = held_out.sort_values(["repeat", "patient"])
    count = held_out["patient"].nunique()
    columns = {
        name: by_repeat[name].to_numpy(dtype=np.float64).reshape(-1, count)
        for name in ("survival_days", "expected_days", "risk", "age_only_expected_days", "age_only_risk")
    }
    dead = by_repeat["event"].to_numpy().reshape(-1, count) == 1

    def scored(drawn: NDArray[np.intp], row: str) -> dict[str, float]:
        found = [
            days_scores(days[drawn], died[drawn], expected[drawn], risk[drawn])
            for days, died, expected, risk in zip(
                columns["survival_days"], dead, columns[f"{row}expected_days"], columns[f"{row}risk"], strict=True
            )
        ]
        return {name: float(np.mean([scores[name] for scores in found])) for name in DAYS_SCORES}

    everyone = np.arange(count)
    drawings = np.random.default_rng(seed).integers(0, count, (RESAMPLES // 5, count))
    age, own = scored(everyone, "age_only_"), scored(everyone, "")
    drawn = [(scored(rows, ""), scored(rows, "age_only_")) for rows in drawings if dead[0][rows].any()]

    def interval_of(values: list[float]) -> dict[str, float]:
        low, high = np.nanquantile(values, [0.025, 0.975])
        return {"low": float(low), "high": float(high)}

    return {
        name: {
            "mean": own[name],
            **interval_of([mine[name] for mine, _ in drawn]),
            "method": "percentile bootstrap over patients",
            "age_only": age[name],
            "minus_age_only": {
                "mean": own[name] - age[name],
                **interval_of([mine[name] - other[name] for mine, other in drawn]),
            },
        }
        for name in DAYS_SCORES
    }


def mean_importance(folds: Sequence[Fold], names: Sequence[str]) -> dict[str, float]:
    """Return for each feature the accuracy that is lost where it is shuffled, the mean over one repetition."""
    measured = np.mean([fold.importance for fold in folds if fold.importance is not None], axis=0)
    return dict(zip(names, measured.tolist(), strict=True))


def _calibration(labelled: pd.DataFrame, columns: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Return the calibration error of each repetition, the mean over them, and its interval over patients."""
    by_repeat = [part.sort_values("patient") for _, part in labelled.groupby("repeat")]
    truth = by_repeat[0]["group"].to_numpy(dtype=np.str_)
    told = [part[list(columns)].to_numpy() for part in by_repeat]
    return over_patients(
        lambda rows: float(np.mean([calibration_error(truth[rows], values[rows]) for values in told])),
        len(truth),
        resamples=RESAMPLES // 5,
        seed=seed,
    )


def _against_age_only(scores: pd.DataFrame, labelled: pd.DataFrame, *, folds: int, seed: int) -> dict[str, Any]:
    tested = corrected_t((scores["accuracy"] - scores["age_only_accuracy"]).to_numpy(), folds=folds)
    right = (labelled["predicted"] == labelled["group"]).astype(np.float64)
    age = (labelled["age_only"] == labelled["group"]).astype(np.float64)
    gains = (right - age).groupby(labelled["patient"]).mean().to_numpy()
    by_patient = over_patients(lambda rows: float(gains[rows].mean()), len(gains), resamples=RESAMPLES * 10, seed=seed)
    return {"folds": tested, "patients": by_patient, "beaten": tested["low"] > 0 and by_patient["low"] > 0}


def _scores(fold: Fold, patients: Patients) -> dict[str, Any]:
    labelled = patients.dead[fold.rows]
    truth = patients.groups[fold.rows][labelled]
    found: dict[str, Any] = {"repeat": fold.repeat, "fold": fold.fold, "patients": len(truth)}
    for prefix, told in (("", fold.told), ("majority_", fold.majority), ("age_only_", fold.age_only)):
        scored = group_scores(truth, told.groups[labelled], told.probabilities[labelled])
        found |= {f"{prefix}{name}": value for name, value in scored.items()}
    return found | {"best": " ".join(f"{key}={value}" for key, value in sorted(fold.best.items()))}
