"""Base class of models of survival time: survival curves, expected days, and the most probable group of a curve."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin

Values = NDArray[np.float64]
# One row per patient: whether the patient died, and the day of death or the last day known to be alive.
OUTCOME = np.dtype([("dead", np.bool_), ("days", np.float64)])


def outcomes(days: Values, dead: NDArray[np.bool_]) -> NDArray[Any]:
    """Return days and deaths, each of shape (patient,), as the one array that models of time are fitted to."""
    found = np.empty(len(days), dtype=OUTCOME)
    found["days"], found["dead"] = days, dead
    return found


class TimeModel(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A model that learns from censored patients too.

    A subclass defines `curve_days_`, `last_day_`, `curves` and `risk`.

    Attributes:
        limits_days: Ends of the groups, as `cohort.clinical.survival_group` reads them.
        curve_days_: Days at which the curves step down, ascending, shape (day,).
        last_day_: Last day on which a training patient was known to be alive, or died.
        classes_: The groups in alphabetical order, as in scikit-learn.
    """

    limits_days: tuple[float, float]
    curve_days_: Values
    last_day_: float
    classes_: NDArray[np.str_] = np.array(["long", "mid", "short"])

    def curves(self, features: Values) -> Values:
        """Return the probability of living past each of `curve_days_`, shape (patient, day)."""
        raise NotImplementedError

    def risk(self, features: Values) -> Values:
        """Return the risk of each patient, which is higher for an earlier expected death."""
        raise NotImplementedError

    def alive_past(self, features: Values, day: float) -> Values:
        """Return the probability of living past a day, shape (patient,)."""
        steps = np.searchsorted(self.curve_days_, day, side="right")
        padded = np.hstack([np.ones((len(features), 1)), self.curves(features)])
        return np.asarray(padded[:, steps])

    def expected_days(self, features: Values) -> Values:
        """Return the mean survival of each patient up to `last_day_`: the area under the curve."""
        widths = np.diff(self.curve_days_, prepend=0.0, append=self.last_day_)
        return np.asarray(np.hstack([np.ones((len(features), 1)), self.curves(features)]) @ widths)

    def predict_proba(self, features: Values) -> Values:
        """Return the probabilities of `classes_`: death after the second limit, between both, before the first."""
        first, second = self.limits_days
        until = self.alive_past(features, np.nextafter(first, 0))
        past = self.alive_past(features, second)
        return np.column_stack([past, until - past, 1 - until])

    def predict(self, features: Values) -> NDArray[np.str_]:
        """Return the most probable group of each patient."""
        return np.asarray(self.classes_[self.predict_proba(features).argmax(axis=1)])
