"""Random survival forest of scikit-survival, which is GPL-3 and therefore optional: only `fit` imports it."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from brats_ml.errors import ConfigError
from brats_ml.survival.time_models import TimeModel, Values


class SurvivalForest(TimeModel):
    """H. Ishwaran et al., "Random survival forests", Annals of Applied Statistics 2, 2008.

    Attributes:
        forest_: The fitted forest of scikit-survival.
    """

    def __init__(
        self,
        *,
        limits_days: tuple[float, float] = (300, 450),
        n_estimators: int = 100,
        min_samples_leaf: int = 15,
        seed: int = 0,
    ) -> None:
        """Store the limits of the groups, the number of trees, the fewest patients in a leaf, and the seed."""
        self.limits_days = limits_days
        self.n_estimators = n_estimators
        self.min_samples_leaf = min_samples_leaf
        self.seed = seed

    def fit(self, features: Values, outcomes: NDArray[Any]) -> Self:
        """Fit to features, shape (patient, feature), and outcomes, as `time_models.outcomes` returns them.

        Raises:
            ConfigError: scikit-survival is not installed.
        """
        try:
            from sksurv.ensemble import RandomSurvivalForest  # GPL-3, and not installed by default
        except ImportError as error:
            raise ConfigError(
                "estimator random_survival_forest needs scikit-survival, which is GPL-3 and therefore not installed "
                "with brats_ml: run `pip install 'brats-ml[survival-forest]'`, or remove the estimator from "
                "survival.estimators",
                key="survival.estimators",
            ) from error
        self.forest_ = RandomSurvivalForest(
            n_estimators=self.n_estimators, min_samples_leaf=self.min_samples_leaf, random_state=self.seed, n_jobs=1
        ).fit(features, outcomes)
        self.curve_days_ = np.asarray(self.forest_.unique_times_)
        self.last_day_ = float(outcomes["days"].max())
        return self

    def risk(self, features: Values) -> Values:
        """Return the expected number of deaths of each patient, as scikit-survival defines it."""
        return np.asarray(self.forest_.predict(features))

    def curves(self, features: Values) -> Values:
        """Return the probability of living past each of `curve_days_`, shape (patient, day)."""
        return np.asarray(self.forest_.predict_survival_function(features, return_array=True))
