"""A fitted survival model as one call: the same in gate, scoring and serving."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brats_ml import files
from brats_ml.adapters.model_files.skops_file import load_estimator
from brats_ml.cohort.clinical import OLDEST_YEARS
from brats_ml.survival.features import AGE, FEATURES
from brats_ml.survival.prediction import predict, time_model
from brats_ml.survival.summary import PROBABILITIES
from brats_ml.workspace.outputs import SurvivalFolder

CURVE = ("expected_days", "curve_days", "curve_alive")  # columns of a model of time alone
CURVE_STEP_DAYS = 30


class SurvivalModel:
    """A fitted estimator with its scaler, and what it was fitted on.

    Attributes:
        features: Columns that it reads.
        masks: `reference` or `predicted`: whose label maps its features were measured on.
        timed: Whether it gives survival curves.
    """

    def __init__(self, folder: SurvivalFolder) -> None:
        """Read estimator.skops and summary.json.

        Raises:
            ModelError: A file is damaged or holds a type that is not trusted.
            MissingInputError: One is not there.
        """
        self._estimator = load_estimator(folder.estimator)
        summary = files.read_json(folder.summary)
        self.features: tuple[str, ...] = tuple(summary.get("features", FEATURES))
        self.masks: str = summary.get("masks", "reference")
        self.timed = time_model(self._estimator) is not None

    def __call__(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return one row of predictions for each row of features, in their order and with their index.

        A row that lacks a feature, or has one that cannot be, gets no group but the `reason`; the others are answered.

        Args:
            features: Columns of `self.features`, in any order.

        Returns:
            Columns group, the probability of each group, reason; from a model of time also expected_days, curve_days
            and curve_alive: the probability of living past each of these days.
        """
        rows = features[list(self.features)].astype(np.float64)
        reasons = [refusal(row) for row in rows.to_dict("records")]
        told = pd.DataFrame({"group": None, **dict.fromkeys(PROBABILITIES, np.nan)}, index=rows.index, dtype=object)
        if self.timed:
            told[list(CURVE)] = None
        answered = np.flatnonzero([reason is None for reason in reasons])
        if len(answered):
            self._fill(told, answered, rows.to_numpy()[answered])
        told = told.astype(dict.fromkeys(PROBABILITIES, np.float64))
        return told.assign(reason=pd.Series(reasons, index=rows.index, dtype=object))

    def _fill(self, told: pd.DataFrame, answered: NDArray[np.intp], values: NDArray[np.float64]) -> None:
        found = predict(self._estimator, values)
        columns: dict[str, Any] = {"group": found.groups.tolist()}
        columns |= dict(zip(PROBABILITIES, found.probabilities.T.tolist(), strict=True))
        if found.curves is not None and found.curve_days is not None and found.expected_days is not None:
            days = np.arange(0, found.curve_days[-1] + CURVE_STEP_DAYS, CURVE_STEP_DAYS)
            alive = np.hstack([np.ones((len(values), 1)), found.curves])
            shown = alive[:, np.searchsorted(found.curve_days, days, side="right")]
            columns |= {
                "expected_days": found.expected_days.tolist(),
                "curve_days": [days.tolist()] * len(values),
                "curve_alive": shown.tolist(),
            }
        for name, cells in columns.items():
            whole = told[name].tolist()
            for row, cell in zip(answered, cells, strict=True):
                whole[row] = cell
            told[name] = pd.Series(whole, index=told.index, dtype=object)


def refusal(row: dict[Any, float]) -> str | None:
    """Return why a patient with these features cannot be answered, or None."""
    missing = [name for name, value in row.items() if not np.isfinite(value)]
    if missing:
        return f"no {', '.join(missing)}"
    impossible = [
        f"{name} {value:g} is impossible"
        for name, value in row.items()
        if (name == AGE and not 0 < value <= OLDEST_YEARS) or (str(name).endswith("_ratio") and not 0 <= value <= 1)
    ]
    return "; ".join(impossible) or None
