"""Load a fitted survival model as one call, which the gate, scoring and serving all use."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brats_ml import files
from brats_ml.adapters.model_files.skops_file import load_estimator
from brats_ml.cohort.clinical import OLDEST_YEARS
from brats_ml.survival.caveat import caveat, model_quality
from brats_ml.survival.features import AGE, FEATURES
from brats_ml.survival.prediction import predict, time_model
from brats_ml.survival.summary import PROBABILITIES
from brats_ml.workspace.outputs import SurvivalFolder

CURVE = ("expected_days", "curve_days", "curve_alive")  # columns that only models of time have
CURVE_STEP_DAYS = 30


class SurvivalModel:
    """A fitted estimator with its scaler.

    Attributes:
        features: The columns that it reads.
        masks: The label maps that its features were measured on, `reference` or `predicted`.
        timed: Whether it gives survival curves.
        caveat: One sentence on how often it is right.
        quality: Its accuracy in cross-validation with an interval, None without cross-validation.
    """

    def __init__(self, folder: SurvivalFolder) -> None:
        """Read estimator.skops and summary.json.

        Raises:
            ModelError: A file is damaged or holds a type that is not trusted.
            MissingInputError: A file is missing.
        """
        self._estimator = load_estimator(folder.estimator)
        summary = files.read_json(folder.summary)
        self.features: tuple[str, ...] = tuple(summary.get("features", FEATURES))
        self.masks: str = summary.get("masks", "reference")
        self.timed = time_model(self._estimator) is not None
        self.caveat: str = caveat(summary)
        self.quality: dict[str, Any] | None = model_quality(summary)

    def __call__(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return one row of predictions for each row of features, in their order and with their index.

        A row with a missing or an impossible feature gets a `reason` instead of a prediction.

        Args:
            features: The columns of `self.features`, in any order.

        Returns:
            The columns group, the probability of each group, and reason. A model of time adds expected_days, curve_days
            and curve_alive, which is the probability to live past each of these days.
        """
        rows = features[list(self.features)].astype(np.float64)
        reasons = [refusal(row) for row in rows.to_dict("records")]
        empty = {"group": None, **dict.fromkeys(PROBABILITIES, np.nan)}
        predictions = pd.DataFrame(empty, index=rows.index, dtype=object)
        if self.timed:
            predictions[list(CURVE)] = None
        valid = np.flatnonzero([reason is None for reason in reasons])
        if len(valid):
            self._fill(predictions, valid, rows.to_numpy()[valid])
        predictions = predictions.astype(dict.fromkeys(PROBABILITIES, np.float64))
        return predictions.assign(reason=pd.Series(reasons, index=rows.index, dtype=object))

    def _fill(self, predictions: pd.DataFrame, valid: NDArray[np.intp], values: NDArray[np.float64]) -> None:
        found = predict(self._estimator, values)
        columns: dict[str, Any] = {"group": found.groups.tolist()}
        columns |= dict(zip(PROBABILITIES, found.probabilities.T.tolist(), strict=True))
        if found.curves is not None and found.curve_days is not None and found.expected_days is not None:
            days = np.arange(0, found.curve_days[-1] + CURVE_STEP_DAYS, CURVE_STEP_DAYS)
            alive = np.hstack([np.ones((len(values), 1)), found.curves])
            sampled = alive[:, np.searchsorted(found.curve_days, days, side="right")]
            columns |= {
                "expected_days": found.expected_days.tolist(),
                "curve_days": [days.tolist()] * len(values),
                "curve_alive": sampled.tolist(),
            }
        for name, cells in columns.items():
            column = predictions[name].tolist()
            for row, cell in zip(valid, cells, strict=True):
                column[row] = cell
            predictions[name] = pd.Series(column, index=predictions.index, dtype=object)


def refusal(row: dict[Any, float]) -> str | None:
    """Return why there is no prediction for a patient with these features, or None."""
    missing = [name for name, value in row.items() if not np.isfinite(value)]
    if missing:
        return f"no {', '.join(missing)}"
    impossible = [
        f"{name} {value:g} is impossible"
        for name, value in row.items()
        if (name == AGE and not 0 < value <= OLDEST_YEARS) or (str(name).endswith("_ratio") and not 0 <= value <= 1)
    ]
    return "; ".join(impossible) or None
