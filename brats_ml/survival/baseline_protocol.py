"""The baseline's survival protocol, step by step as in its notebook, to reproduce its published accuracies.

The notebook is survival_prediction/mri-brain-tumor_surival_prediction.ipynb of
rastislavkopal/3D_BRAIN_TUMOR_SEGMENTATION. Its protocol does not measure how good a model is. The scaler sees the test
patients, and 24 test patients are too few to rank models. The search scores the forest on one column per group and
counts a patient as right only if all columns are right, which favours a single tree.

Two things differ here. The baseline counts voxels in axial slices 22 to 121, while a table of features counts whole
volumes. The baseline's split depends on the order of files on a disk that no longer exists, so `other_orders` repeats
the protocol in `ORDERS` random orders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from threadpoolctl import threadpool_limits

from brats_ml.cohort.clinical import GROUPS
from brats_ml.errors import ConfigError
from brats_ml.survival.estimators import CLASSIFIERS, Combination, Groups, ParamGrid, grid_combinations
from brats_ml.survival.grid_search import fold_accuracies, winner
from brats_ml.survival.patients import Patients

LIMITS_DAYS = (250, 449)  # from its code: below 250, below 450, the rest; its text says 300
TEST_SHARE = 0.2
SEED = 42
FOLDS = 5
ORDERS = 20
GRIDS: Mapping[str, ParamGrid] = {
    "random_forest": {"n_estimators": list(range(1, 100)), "criterion": ["gini", "entropy"]},
    "svm": {
        "C": [0.01, 0.1, 1, 10, 15, 20],
        "kernel": ["linear", "poly", "rbf", "sigmoid"],
        "degree": [1, 3, 5, 7],
        "gamma": [0.01, 1],
    },
    "knn": {"n_neighbors": list(range(1, 75)), "p": [1, 2, 3, 4], "weights": ["uniform", "distance"]},
}


@dataclass(frozen=True)
class Reproduction:
    """The result of the protocol for one classifier.

    Attributes:
        best: The winner of the search.
        search_accuracy: Mean accuracy of the winner over the folds, which the baseline calls its train score.
        training_accuracy: Accuracy of the winner on its own training patients.
        patients: The test patients.
        truth: True group of each test patient.
        predicted: Group that the winner predicts for each test patient.
        importances: Importance of each feature of a forest by impurity, shape (feature,); None for other classifiers.
    """

    best: Combination
    search_accuracy: float
    training_accuracy: float
    patients: list[str]
    truth: Groups
    predicted: Groups
    importances: NDArray[np.float64] | None

    @property
    def right(self) -> int:
        """Number of test patients with a correctly predicted group."""
        return int((self.truth == self.predicted).sum())


def reproduce(name: str, patients: Patients, *, grid: ParamGrid | None = None) -> Reproduction:
    """Run the protocol on patients in their present order.

    Args:
        name: Name of one of the baseline's three classifiers.
        patients: Labelled patients after gross total resection, grouped by `LIMITS_DAYS`.
        grid: A grid that replaces the baseline's own.

    Raises:
        ConfigError: The baseline has no such classifier.
    """
    if name not in GRIDS:
        raise ConfigError(
            f"survival.protocol is baseline, and the baseline has no {name}: set survival.estimators to some of "
            f"{', '.join(GRIDS)}, or set survival.protocol to nested",
            key="survival.protocol",
        )
    scaled = MinMaxScaler().fit_transform(patients.features)
    rows = np.arange(len(patients.names))
    trained, tested = train_test_split(rows, test_size=TEST_SHARE, random_state=SEED, shuffle=True)
    targets = _columns(patients.groups) if name == "random_forest" else patients.groups
    parts = list(_splitter(name).split(scaled[trained], patients.groups[trained]))
    combinations = grid_combinations(
        name, GRIDS[name] if grid is None else grid, rows=min(len(part) for part, _ in parts)
    )
    with threadpool_limits(1):
        scores = fold_accuracies(
            name, combinations, scaled[trained], targets[trained], parts, seed=SEED, scaler=FunctionTransformer
        )
        best = combinations[winner(scores)]
        model = CLASSIFIERS[name](SEED).set_params(**best).fit(scaled[trained], targets[trained])
        predicted, refitted = model.predict(scaled[tested]), model.predict(scaled[trained])
    return Reproduction(
        best=best,
        search_accuracy=float(scores.mean(axis=1).max()),
        training_accuracy=float((refitted == targets[trained]).reshape(len(trained), -1).all(axis=1).mean()),
        patients=[patients.names[row] for row in tested],
        truth=patients.groups[tested],
        predicted=_named(predicted),
        importances=getattr(model, "feature_importances_", None),
    )


def other_orders(name: str, patients: Patients, *, count: int = ORDERS, grid: ParamGrid | None = None) -> list[int]:
    """Return the number of correctly predicted test patients for each of `count` random orders of the patients."""
    random = np.random.default_rng(SEED)
    shuffled = [random.permutation(len(patients.names)) for _ in range(count)]
    return [reproduce(name, patients.take(rows), grid=grid).right for rows in shuffled]


def _splitter(name: str) -> KFold | StratifiedKFold:
    """Return the splitter of scikit-learn's `cv=5`, which does not stratify targets of several columns."""
    return KFold(FOLDS) if name == "random_forest" else StratifiedKFold(FOLDS)


def _columns(groups: Groups) -> NDArray[np.int64]:
    return np.asarray(groups[:, None] == np.array(GROUPS), dtype=np.int64)


def _named(predicted: NDArray[np.generic]) -> Groups:
    """Return the name of each predicted group: the column that is set, or `none` if no column is set."""
    if predicted.ndim == 1:
        return predicted.astype(np.str_)
    none: Sequence[str] = ["none"]
    return np.array([*GROUPS, *none])[np.where(predicted.any(axis=1), predicted.argmax(axis=1), len(GROUPS))]
