"""Compare our grid search with plain GridSearchCV, as the baseline runs it, on the three full grids of the baseline.

Our search shares fits between combinations. Both search 94 patients (as many as the training part of the baseline) with
the four features of the baseline, in 5 folds, without threads, one after the other in one process. The patients are
synthetic, unless `BRATS_REAL_DATA` has tables/brats2020_survival_features_derived.csv. The scores of every combination
on every fold must be equal bit for bit. The winners are compared without parameters that have no effect, such as the
degree of an RBF kernel.

- `search_vs_baseline_loops`: time of our search divided by time of GridSearchCV, all three grids together.
- `same_winners`: whether all three winners are the same and all scores equal.
"""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _frame import report, table
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from brats_ml.cohort.clinical import features_from_table
from brats_ml.survival.baseline_protocol import FOLDS, GRIDS, LIMITS_DAYS, SEED
from brats_ml.survival.estimators import KERNEL_PARAMETERS, grid_combinations
from brats_ml.survival.grid_search import fold_accuracies, winner
from brats_ml.survival.patients import known_patients, row_states

PATIENTS = 94
PLAIN = {
    "random_forest": RandomForestClassifier(random_state=SEED),
    "svm": SVC(),
    "knn": KNeighborsClassifier(),
}


def main() -> None:
    features, groups = patients()
    parts = list(StratifiedKFold(FOLDS).split(features, groups))
    rows, same = [], True
    with threadpool_limits(1):
        for name, grid in GRIDS.items():
            begun = time.perf_counter()
            combinations = grid_combinations(name, grid, rows=min(len(training) for training, _ in parts))
            scores = fold_accuracies(name, combinations, features, groups, parts, seed=SEED, scaler=FunctionTransformer)
            ours_s = time.perf_counter() - begun
            begun = time.perf_counter()
            plain = GridSearchCV(PLAIN[name], dict(grid), cv=parts, scoring="accuracy").fit(features, groups)
            plain_s = time.perf_counter() - begun
            best = combinations[winner(scores)]
            equal = best == relevant_parameters(plain.best_params_) and scores_equal(combinations, scores, plain)
            same &= equal
            rows.append(
                {
                    "grid": name,
                    "combinations": len(plain.cv_results_["params"]),
                    "GridSearchCV, s": plain_s,
                    "ours, s": ours_s,
                    "times faster": plain_s / ours_s,
                    "winner": " ".join(f"{key}={value}" for key, value in best.items()),
                    "equal": equal,
                }
            )
    table(rows, title=f"{len(groups)} patients, {FOLDS} folds")
    ours_total, plain_total = (sum(row[key] for row in rows) for key in ("ours, s", "GridSearchCV, s"))
    report(
        search_vs_baseline_loops=round(ours_total / plain_total, 4),
        same_winners=bool(same),
        **{f"{row['grid']}_ratio": round(row["ours, s"] / row["GridSearchCV, s"], 4) for row in rows},
        patients=len(groups),
    )


def patients() -> tuple[np.ndarray, np.ndarray]:
    """Return the features scaled to 0..1, shape (patient, feature), and the groups, shape (patient,)."""
    folder = os.environ.get("BRATS_REAL_DATA")
    path = Path(folder or ".") / "tables/brats2020_survival_features_derived.csv"
    if folder and path.exists():
        known = features_from_table(pd.read_csv(path, dtype=str, keep_default_na=False), name=path.name)
        labelled = known[row_states(known, cohort="gtr") == "labelled"]
        found = known_patients(labelled, limits_days=LIMITS_DAYS)
        chosen = np.random.default_rng(SEED).permutation(len(found.names))[:PATIENTS]
        return MinMaxScaler().fit_transform(found.features)[chosen], found.groups[chosen]
    random = np.random.default_rng(SEED)
    features = random.uniform(size=(PATIENTS, 4))
    days = 700 - 500 * features[:, 0] + random.normal(0, 180, PATIENTS)
    return MinMaxScaler().fit_transform(features), np.array(["short", "mid", "long"])[np.digitize(days, [350, 500])]


def relevant_parameters(combination: dict[str, Any]) -> dict[str, Any]:
    """Return a combination of a full grid without the parameters that its kernel does not have."""
    kernel = KERNEL_PARAMETERS.get(str(combination.get("kernel")), ("degree", "gamma"))
    return {key: value for key, value in combination.items() if key not in ("degree", "gamma") or key in kernel}


def scores_equal(combinations: list[dict[str, Any]], scores: np.ndarray, plain: GridSearchCV) -> bool:
    """Return whether each combination of the full grid scored on each fold what its representative did."""
    ours = {tuple(sorted(combination.items())): row for combination, row in zip(combinations, scores, strict=True)}
    theirs = np.array([plain.cv_results_[f"split{fold}_test_score"] for fold in range(FOLDS)]).T
    params = plain.cv_results_["params"]
    return all(
        (ours[tuple(sorted(relevant_parameters(combination).items()))] == row).all()
        for combination, row in zip(params, theirs, strict=True)
    )


if __name__ == "__main__":
    main()
