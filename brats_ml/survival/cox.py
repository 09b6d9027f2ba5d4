"""Cox's proportional hazards with a ridge penalty, fitted to plain arrays that skops can store without pickle."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from brats_ml.survival.time_models import TimeModel, Values

# The search for the maximum ends at the first norm of the gradient of the mean log likelihood. Rounding may end it
# earlier, which is accepted up to the second norm.
GRADIENT, LARGEST_GRADIENT = 1e-6, 1e-4


class Cox(TimeModel):
    """Cox's model, with ties and baseline hazard by N. Breslow.

    D. R. Cox, "Regression Models and Life-Tables", J. R. Stat. Soc. B 34, 1972.

    Attributes:
        coefficients_: Log hazard ratios, shape (feature,).
        centre_: Mean of the training features, shape (feature,).
        hazard_: Cumulative hazard of a patient at the centre, at `curve_days_`.
    """

    def __init__(self, *, limits_days: tuple[float, float] = (300, 450), penalty: float = 0.001) -> None:
        """Store the limits of the groups and the penalty, the weight of half the squared coefficients.

        The penalty is added to the negative mean log likelihood.
        """
        self.limits_days = limits_days
        self.penalty = penalty

    def fit(self, features: Values, outcomes: NDArray[Any]) -> Self:
        """Fit to features, shape (patient, feature), and outcomes, as `time_models.outcomes` returns them.

        Raises:
            ValueError: Nobody died, or the penalty is negative.
        """
        if self.penalty < 0:
            raise ValueError(f"penalty {self.penalty} is negative")
        if not outcomes["dead"].any():
            raise ValueError("nobody is known to have died, so there is no hazard to fit")
        self.centre_ = features.mean(axis=0)
        order = np.argsort(-outcomes["days"], kind="stable")
        rows, days, dead = features[order] - self.centre_, outcomes["days"][order], outcomes["dead"][order]
        # The longest lives come first, so the patients at risk on a day are all rows up to the last row of that day.
        at_risk = np.searchsorted(-days, -days[dead], side="right") - 1
        self.coefficients_ = _coefficients(rows, rows[dead], at_risk, penalty=self.penalty)
        self.curve_days_, first = np.unique(days[dead], return_index=True)
        deaths = np.unique(days[dead], return_counts=True)[1]
        risks = np.cumsum(np.exp(rows @ self.coefficients_))[at_risk[first]]
        self.hazard_ = np.cumsum(deaths / risks)
        self.last_day_ = float(days[0])
        return self

    def risk(self, features: Values) -> Values:
        """Return the log hazard ratio of each patient to a patient at the centre."""
        return np.asarray((features - self.centre_) @ self.coefficients_)

    def curves(self, features: Values) -> Values:
        """Return the probability of living past each of `curve_days_`, shape (patient, day)."""
        return np.asarray(np.exp(-np.exp(self.risk(features))[:, None] * self.hazard_))


def _coefficients(rows: Values, dying: Values, at_risk: NDArray[np.intp], *, penalty: float) -> Values:
    """Return the coefficients that maximise the penalised partial likelihood.

    Args:
        rows: Centred features, longest lives first, shape (patient, feature).
        dying: The rows of patients who died, shape (death, feature).
        at_risk: The last row at risk at each death, shape (death,).
        penalty: Weight of half the squared coefficients.

    Raises:
        ValueError: The search does not converge.
    """
    count = len(rows)
    squares = rows[:, :, None] * rows[:, None, :]

    def parts(coefficients: Values) -> tuple[Values, Values, Values]:
        logs = rows @ coefficients
        shift = logs.max()
        weights = np.exp(logs - shift)
        total = np.cumsum(weights)[at_risk]
        mean = np.cumsum(weights[:, None] * rows, axis=0)[at_risk] / total[:, None]
        return (
            np.log(total) + shift,
            mean,
            np.cumsum(weights[:, None, None] * squares, axis=0)[at_risk] / total[:, None, None],
        )

    def loss(coefficients: Values) -> tuple[float, Values]:
        logs, mean, _ = parts(coefficients)
        value = (logs - dying @ coefficients).sum() / count + penalty * coefficients @ coefficients / 2
        return float(value), (mean - dying).sum(axis=0) / count + penalty * coefficients

    def curvature(coefficients: Values) -> Values:
        _, mean, square = parts(coefficients)
        spread = (square - mean[:, :, None] * mean[:, None, :]).sum(axis=0) / count
        return np.asarray(spread + penalty * np.eye(rows.shape[1]))

    start = np.zeros(rows.shape[1])
    found = minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options={"gtol": GRADIENT})
    if np.linalg.norm(found.jac) > LARGEST_GRADIENT:
        raise ValueError(f"the search for the maximum likelihood of Cox's model did not converge: {found.message}")
    return np.asarray(found.x)
