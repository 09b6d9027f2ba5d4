"""Predictions of a fitted model, in one form for classifiers and models of time."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from brats_ml.cohort.clinical import GROUPS
from brats_ml.survival.estimators import Features, Groups
from brats_ml.survival.time_models import TimeModel

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """Predictions for some patients.

    Attributes:
        groups: The most probable group, shape (patient,).
        probabilities: Probability of each of `GROUPS` in their order, shape (patient, group).
        expected_days: Mean survival by a model of time, shape (patient,); None from a classifier.
        risk: Higher for an earlier expected death, shape (patient,); None from a classifier.
        curve_days: Days at which the survival curves step, shape (day,); None from a classifier.
        curves: Probability of living past each of these days, shape (patient, day); None from a classifier.
    """

    groups: Groups
    probabilities: Values
    expected_days: Values | None = None
    risk: Values | None = None
    curve_days: Values | None = None
    curves: Values | None = None


def predict(model: Any, features: Features) -> Prediction:
    """Return the predictions of a fitted model for features of shape (patient, feature)."""
    known = [str(group) for group in model.classes_]
    probabilities = model.predict_proba(features)
    prediction = Prediction(
        groups=np.asarray(known)[probabilities.argmax(axis=1)],
        probabilities=probabilities[:, [known.index(group) for group in GROUPS]],
    )
    times = time_model(model)
    if times is None:
        return prediction
    scaled = model[:-1].transform(features)
    return replace(
        prediction,
        expected_days=times.expected_days(scaled),
        risk=times.risk(scaled),
        curve_days=times.curve_days_,
        curves=times.curves(scaled),
    )


def time_model(model: Any) -> TimeModel | None:
    """Return the last step of a pipeline if it is a model of time, otherwise None."""
    last = model[-1] if isinstance(model, Pipeline) else None
    return last if isinstance(last, TimeModel) else None
