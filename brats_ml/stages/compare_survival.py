"""The survival part of the comparison: the score of each estimator, and what predicted masks cost."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from brats_ml import files
from brats_ml.adapters.tables import frames
from brats_ml.cohort.synthetic import all_synthetic
from brats_ml.config import Params
from brats_ml.config.survival import Survival
from brats_ml.intervals import Interval, mean_interval
from brats_ml.reports.page import LeaderboardEntry
from brats_ml.reports.survival_section import MaskLoss, Scale
from brats_ml.survival.estimators import AGE_ALONE
from brats_ml.survival.floors import calibration_floor, mean_prediction_errors
from brats_ml.survival.grid_search import refit
from brats_ml.survival.patients import known_patients, row_states
from brats_ml.survival.prediction import predict
from brats_ml.survival.summary import PROBABILITIES
from brats_ml.workspace import Workspace

MEASURE = {"nested": "accuracy, nested cross-validation", "baseline": "accuracy, the baseline's protocol"}


def leaderboard_entry(ws: Workspace, name: str) -> LeaderboardEntry:
    """Return an estimator's score and verdict, from its summary."""
    summary = files.read_json(ws.survival(name).summary)
    if "best" not in summary:
        return LeaderboardEntry(name, summary["verdict"], 0, None, {})
    reproduced = summary.get("protocol") == "baseline"
    accuracy, count = (summary["test"], summary["test"]["patients"]) if reproduced else (summary["accuracy"], None)
    score = Interval(accuracy["mean"], accuracy["low"], accuracy["high"], accuracy["method"])
    return LeaderboardEntry(name, summary["verdict"], count or summary["patients"], score, summary)


def nominee(estimators: Sequence[LeaderboardEntry]) -> tuple[str | None, str]:
    """Return the estimator with the lowest log loss among those that beat age alone, and the reason.

    Without any, the estimator that reads the age alone is the nominee, if it is among the estimators. Otherwise the
    lowest log loss decides. Without a fitted estimator the result is None with the reasons.
    """
    fitted = {entry.name: entry.details for entry in estimators if entry.score is not None}
    if not fitted:
        return None, "; ".join(dict.fromkeys(entry.verdict for entry in estimators))
    loss = {name: summary["log_loss"]["mean"] for name, summary in fitted.items()}
    better = [name for name, summary in fitted.items() if summary["log_loss_against_age_only"]["beaten"]]
    if not better and AGE_ALONE in fitted:
        return AGE_ALONE, f"log loss {loss[AGE_ALONE]:.3f}, and no estimator is shown to be better than age alone"
    best = min(better or fitted, key=loss.__getitem__)
    shown = "better than age alone" if better else "not shown to be better than age alone"
    return best, f"lowest log loss, {loss[best]:.3f} on {fitted[best]['patients']} patients, {shown}"


def why_none(params: Params) -> str | None:
    """Return why no estimator can be nominated, or None."""
    if params.survival.protocol == "baseline":
        return "survival.protocol is baseline, and models of that protocol are for comparison only"
    return None


def scales(ws: Workspace, params: Params, estimators: Sequence[LeaderboardEntry]) -> dict[str, Scale]:
    """Return what chance and the mean reach on the same patients, by the estimators of nested cross-validation."""
    return {
        entry.name: _scale(frames.read_csv(ws.survival(entry.name).out_of_fold), seed=params.survival.seed)
        for entry in estimators
        if entry.score is not None and entry.details["protocol"] == "nested"
    }


def _scale(held_out: pd.DataFrame, *, seed: int) -> Scale:
    """Return the scale of an estimator's scores.

    Args:
        held_out: Its predictions of each patient, one row per repetition.
        seed: Seed of the simulation.
    """
    labelled = held_out[held_out["event"] == 1].sort_values(["repeat", "patient"])
    by_repeat = [part[list(PROBABILITIES)].to_numpy(dtype=np.float64) for _, part in labelled.groupby("repeat")]
    days = labelled.drop_duplicates("patient")["survival_days"].to_numpy(dtype=np.float64)
    floor = calibration_floor(np.stack(by_repeat), seed=seed)
    return Scale(floor.mean, floor.high, mean_prediction_errors(days))


def mask_loss(
    ws: Workspace, params: Params, name: str | None, reference: pd.DataFrame, predicted: pd.DataFrame
) -> MaskLoss | None:
    """Return what an estimator loses on predicted masks, or None where too few patients have any.

    Cross-validation over the patients with predicted masks fits the nominated combination on reference features, and
    predicts each held-out patient twice, from reference and from predicted masks. No locked test patient is used.
    """
    if name is None or params.survival.masks != "reference" or predicted.empty:
        return None
    summary = files.read_json(ws.survival(name).summary)
    features = summary.get("features", [])
    if not features:
        return None
    states = row_states(reference, cohort=params.survival.cohort, features=features)
    mine = reference[states.isin(["labelled", "censored"]) & reference["patient"].isin(summary["training_patients"])]
    finite = predicted[np.isfinite(predicted[features].to_numpy(dtype=np.float64)).all(axis=1)]
    both = mine[(mine["event"] == 1) & mine["case_id"].isin(finite["case_id"])].sort_values("patient")
    right = _predicted_twice(params.survival, name, summary, mine=mine, both=both, predicted=finite)
    if right is None:
        return None
    lost = right["reference"] - right["predicted"]
    return MaskLoss(
        estimator=name,
        recipe=params.features.predicted_by,
        patients=len(lost),
        reference=float(right["reference"].mean()),
        predicted=float(right["predicted"].mean()),
        lost=mean_interval(lost, seed=params.survival.seed),
        synthetic=all_synthetic(files.read_json(ws.listing)),
    )


def _predicted_twice(
    settings: Survival,
    name: str,
    summary: dict[str, Any],
    *,
    mine: pd.DataFrame,
    both: pd.DataFrame,
    predicted: pd.DataFrame,
) -> dict[str, NDArray[np.float64]] | None:
    """Return for each kind of masks whether a model that did not see the patients of `both` predicts them right."""
    features, limits = summary["features"], settings.limits_days
    truth = known_patients(both, limits_days=limits, features=features)
    if len(truth.names) < settings.folds:
        return None
    values = {
        "reference": truth.features,
        "predicted": predicted.set_index("case_id").loc[both["case_id"]][features].to_numpy(dtype=np.float64),
    }
    right = {masks: np.empty(len(truth.names)) for masks in values}
    parts = KFold(settings.folds, shuffle=True, random_state=settings.seed)
    for _, rows in parts.split(truth.features):
        asked = np.array(truth.names)[rows]
        training = known_patients(mine[~mine["patient"].isin(asked)], limits_days=limits, features=features)
        if min(training.counts.values()) < 2:
            return None
        model = refit(name, summary["best"], training, limits_days=limits, folds=settings.folds, seed=settings.seed)
        for masks, of_all in values.items():
            right[masks][rows] = predict(model, of_all[rows]).groups == truth.groups[rows]
    return right
