"""The pictures of the estimators, each with words for those who cannot see it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from brats_ml.adapters.tables import frames
from brats_ml.cohort.clinical import GROUPS
from brats_ml.reports import alternatives
from brats_ml.reports.page import LeaderboardEntry, Picture
from brats_ml.reports.survival_section import DRAWINGS
from brats_ml.survival.estimators import AGE_ALONE
from brats_ml.survival.features import AGE
from brats_ml.survival.summary import PROBABILITIES
from brats_ml.workspace import Workspace

# All estimators share this picture.
SHARED_CAPTION = "the patients that the estimators learn from, and the median of each group"


def pictures(
    ws: Workspace, estimators: Sequence[LeaderboardEntry], reference: pd.DataFrame
) -> dict[str, list[Picture]]:
    """Return the pictures of each estimator by what they show, in the order of `DRAWINGS`.

    Args:
        ws: The checkout.
        estimators: The estimators.
        reference: The features, which have the ages.
    """
    # The picture that all share shows the features of the first one, and `age` has one feature only.
    by_features = sorted(estimators, key=lambda entry: entry.name == AGE_ALONE)
    fitted = {entry.name: entry.details for entry in by_features if entry.score is not None}
    found: dict[str, list[Picture]] = {}
    for drawing in DRAWINGS:
        for name, summary in fitted.items():
            path = ws.survival(name).picture(drawing)
            if path.exists() and not (drawing == "distributions" and drawing in found):
                chosen = f"{name}{_chosen(summary['best'])}"
                caption = {"confusion": chosen, "distributions": SHARED_CAPTION}.get(drawing, name)
                alt = _alternative(ws, drawing, name, summary, reference)
                found.setdefault(drawing, []).append(Picture(caption, path.read_bytes(), alt))
    return found


def _alternative(ws: Workspace, drawing: str, name: str, summary: Mapping[str, Any], reference: pd.DataFrame) -> str:
    """Return what a picture of an estimator shows, in words."""
    if drawing == "importance":
        return alternatives.of_importance(name, summary["importance"])
    if summary["protocol"] == "baseline":
        right = summary["test"]["mean"]
        return (
            f"Confusion matrix of {name} by the protocol of the baseline: {right:.0%} of its test patients are right."
        )
    held_out = frames.read_csv(ws.survival(name).out_of_fold)
    labelled = held_out[held_out["event"] == 1]
    if drawing == "confusion":
        matrix = confusion_matrix(labelled["group"], labelled["predicted"], labels=list(GROUPS))
        return alternatives.of_confusion(name, matrix, GROUPS)
    patients = held_out.groupby("patient")
    chosen = patients[list(PROBABILITIES)].mean().to_numpy().argmax(axis=1)
    if drawing == "kaplan_meier":
        days = patients["survival_days"].first().to_numpy(dtype=np.float64)
        followed = {str(group): days[chosen == place].tolist() for place, group in enumerate(GROUPS)}
        unit = " days to death or last contact"
        return alternatives.of_groups(f"Survival of the groups that {name} predicts", followed, unit)
    if drawing == "distributions":
        groups = labelled.drop_duplicates("patient").set_index("patient")["group"]
        ages = reference.drop_duplicates("patient").set_index("patient")[AGE]
        known = ages[ages.index.isin(groups.index)].dropna()
        of_age = {str(group): known[groups[known.index] == group].tolist() for group in GROUPS}
        return alternatives.of_groups("Age and volumes by true group, with the medians of the age", of_age, " years")
    error = summary["calibration_error"]
    return (
        f"Calibration of {name}: share of patients in each group by predicted probability. The mean distance from the "
        f"diagonal is {error['mean']:.3f}."
    )


def _chosen(best: Mapping[str, Any]) -> str:
    return ", chosen: " + ", ".join(f"{name} {value}" for name, value in sorted(best.items())) if best else ""
