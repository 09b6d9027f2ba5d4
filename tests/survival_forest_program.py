"""Fit the random survival forest in an environment with scikit-survival, and print the results as one JSON object."""

import json
import sys
from pathlib import Path

import numpy as np
from sksurv.linear_model import CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored

from brats_ml.adapters.model_files.skops_file import load_estimator, write_estimator
from brats_ml.survival.concordance import concordance
from brats_ml.survival.cox import Cox
from brats_ml.survival.grid_search import search
from brats_ml.survival.patients import Patients
from brats_ml.survival.prediction import predict
from brats_ml.survival.time_models import outcomes
from brats_ml.workspace.outputs import SurvivalFolder

random = np.random.default_rng(0)
features = random.uniform(size=(90, 3))
days = np.ceil(random.exponential(600 * np.exp(-2 * features[:, 0])))
dead = random.uniform(size=90) < 0.8
groups = np.where(dead, np.array(["short", "mid", "long"])[np.digitize(days, [300, 451])], "").astype("U5")
patients = Patients([str(row) for row in range(90)], features, groups, days)
grid = {"n_estimators": [20], "min_samples_leaf": [5, 15]}
found = search("random_survival_forest", grid, patients, limits_days=[300, 450], folds=3, seed=0)
prediction = predict(found.model, features)
stored = SurvivalFolder(Path(sys.argv[1])).estimator
write_estimator(stored, found.model)
peer = CoxPHSurvivalAnalysis(ties="breslow").fit(features, outcomes(days, dead))
print(
    json.dumps(
        {
            "best": found.best,
            "sums": [
                float(prediction.probabilities.sum(axis=1).min()),
                float(prediction.probabilities.sum(axis=1).max()),
            ],
            "falling": bool((np.diff(prediction.curves, axis=1) <= 1e-12).all()),
            "concordance": [
                concordance(days, dead, prediction.risk),
                concordance_index_censored(dead, days, prediction.risk)[0],
            ],
            "cox": [Cox(penalty=0.0).fit(features, outcomes(days, dead)).coefficients_.tolist(), peer.coef_.tolist()],
            "same": bool((predict(load_estimator(stored), features).probabilities == prediction.probabilities).all()),
        }
    )
)
