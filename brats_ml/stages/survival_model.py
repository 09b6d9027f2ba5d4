"""A fitted estimator as one call: the same in gate, scoring and serving."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brats_ml.adapters.estimators_file import load_estimator
from brats_ml.survival.features import FEATURES


class SurvivalModel:
    """A fitted estimator with its scaler."""

    def __init__(self, folder: Path) -> None:
        """Read estimator.skops.

        Raises:
            ModelError: The file is damaged or holds a type that is not trusted.
            MissingInputError: It is not there.
        """
        self._estimator = load_estimator(folder / "estimator.skops")

    def __call__(self, features: pd.DataFrame) -> NDArray[np.str_]:
        """Return the survival group of each row; columns of `FEATURES`, all finite, in any order."""
        groups: NDArray[np.str_] = self._estimator.predict(features[list(FEATURES)].to_numpy(dtype=np.float64))
        return groups
