"""Words for those who cannot see a figure: what it shows, with its main values."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brats_ml.cohort.labels import UNIONS
from brats_ml.imaging.metrics.case import column
from brats_ml.intervals import Interval


def of_leaderboard(recipes: Mapping[str, Sequence[Interval]], measures: Sequence[str]) -> str:
    """Return the means and intervals that the figure of the leaderboard draws.

    Args:
        recipes: The recipes by name, each with one interval per measure.
        measures: The names of the measures.
    """
    texts = []
    for name, estimates in recipes.items():
        scores = (f"{measure} {_estimate(score)}" for measure, score in zip(measures, estimates, strict=True))
        texts.append(f"{name}: {', '.join(scores)}")
    return f"Mean Dice of each recipe. {'; '.join(texts)}."


def of_planes(case_id: str, recipe: str, scores: Mapping[str, float]) -> str:
    """Return what the three planes of a case show.

    Args:
        case_id: The name of the case.
        recipe: The recipe that predicted it.
        scores: Dice and volumes in mm3 of the case by column.
    """
    volumes = (
        f"{region} {scores[column('reference_volume_mm3', region)] / 1000:.2f} mL in the reference and "
        f"{scores[column('volume_mm3', region)] / 1000:.2f} mL predicted, Dice {scores[column('dice', region)]:.2f}"
        for region in UNIONS
        if not np.isnan(scores.get(column("dice", region), np.nan))
    )
    return (
        f"Axial, coronal and sagittal slice of {case_id} through the centre of the tumour, each with the reference and "
        f"with the labels predicted by {recipe}. {'; '.join(volumes)}."
    )


def of_learning_curve(recipe: str, history: pd.DataFrame) -> str:
    """Return the first and the last value of each column that the learning curve draws."""
    names = [str(name) for name in history if str(name).endswith("loss") or "dice" in str(name)]
    texts = []
    for name in names:
        known = history[name].dropna()
        if len(known):
            texts.append(f"{name.replace('_', ' ')} from {known.iloc[0]:.3g} to {known.iloc[-1]:.3g}")
    return f"Learning curves of {recipe} over {len(history)} rows of its history: {', '.join(texts)}."


def of_confusion(name: str, matrix: NDArray[np.int64], groups: Sequence[str]) -> str:
    """Return how many held-out predictions of each true group are right, and where the others go.

    Args:
        name: The estimator.
        matrix: The counts, shape (true group, predicted group).
        groups: The names of the groups, in the order of both axes.
    """
    rows = (
        f"of {sum(row)} predictions of {group} survivors "
        + ", ".join(f"{count} are {predicted}" for predicted, count in zip(groups, row, strict=True))
        for group, row in zip(groups, matrix.tolist(), strict=True)
    )
    return f"Confusion matrix of {name}: {'; '.join(rows)}."


def of_importance(name: str, importances: Mapping[str, float]) -> str:
    """Return the accuracy lost by shuffling each feature, the largest first."""
    ordered = sorted(importances.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{feature} {value:.3f}" for feature, value in ordered)
    return f"Accuracy that {name} loses if a feature is shuffled: {listed}."


def of_groups(opening: str, values: Mapping[str, Sequence[float]], unit: str) -> str:
    """Return the number of patients and the median of each group.

    Args:
        opening: What the figure shows.
        values: The values of each group.
        unit: The unit of the values.
    """
    texts = (
        f"{group}: {len(of_group)} patients, median {np.median(of_group):.3g}{unit}"
        for group, of_group in values.items()
        if len(of_group)
    )
    return f"{opening}. {'; '.join(texts)}."


def _estimate(score: Interval) -> str:
    if score.low is None or score.high is None:
        return f"{score.mean:.3f}"
    return f"{score.mean:.3f} ({score.low:.3f} to {score.high:.3f})"
