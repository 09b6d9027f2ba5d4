"""The baseline's protocol, step by step as its survival notebook has it, so that its published row can be read.

survival_prediction/mri-brain-tumor_surival_prediction.ipynb of rastislavkopal/3D_BRAIN_TUMOR_SEGMENTATION. It is no
way to judge a model: the scaler sees the test patients, 24 patients tell nothing apart, and the forest is searched on
one column a group, where it is right only if all columns are, which favours a single tree.

Two things differ. The baseline counts voxels in axial slices 22 to 121, while a table of features holds counts of whole
volumes; and its order of patients, from which its split follows, is that of a folder on a disk that is gone, so the
protocol is run on `ORDERS` other orders too.
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
from brats_ml.survival.estimators import CLASSIFIERS, Groups, ParamGrid, Point, grid_points
from brats_ml.survival.grid_search import group_scores, winner
from brats_ml.survival.patients import Patients

LIMITS_DAYS = (250, 449)  # its code: below 250, below 450, the rest; its text says 300
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
class Reproduced:
    """What the protocol gave for one classifier.

    Attributes:
        best: The winner of the search.
        search_accuracy: Its mean over the folds, which the baseline calls its train score.
        training_accuracy: Of the winner on the very patients it learnt from.
        patients: The test patients.
        truth: Their groups.
        predicted: What the winner says of them.
        importances: Of a forest's features: by impurity, shape (feature,); else None.
    """

    best: Point
    search_accuracy: float
    training_accuracy: float
    patients: list[str]
    truth: Groups
    predicted: Groups
    importances: NDArray[np.float64] | None

    @property
    def right(self) -> int:
        """Test patients whose group is told rightly."""
        return int((self.truth == self.predicted).sum())


def reproduce(name: str, patients: Patients, *, grid: ParamGrid | None = None) -> Reproduced:
    """Run the protocol on patients in the order given.

    Args:
        name: Of one of the baseline's three classifiers.
        patients: Labelled ones after gross total resection, grouped by `LIMITS_DAYS`.
        grid: In place of the baseline's own.

    Raises:
        ConfigError: The baseline has no such classifier.
    """
    if name not in GRIDS:
        raise ConfigError(
            f"survival.protocol is seed, and the baseline has no {name}: set survival.estimators to some of "
            f"{', '.join(GRIDS)}, or survival.protocol to nested",
            key="survival.protocol",
        )
    scaled = MinMaxScaler().fit_transform(patients.features)
    rows = np.arange(len(patients.names))
    learnt, tested = train_test_split(rows, test_size=TEST_SHARE, random_state=SEED, shuffle=True)
    targets = _columns(patients.groups) if name == "random_forest" else patients.groups
    parts = list(_splitter(name).split(scaled[learnt], patients.groups[learnt]))
    points = grid_points(name, GRIDS[name] if grid is None else grid, rows=min(len(part) for part, _ in parts))
    with threadpool_limits(1):
        scores = group_scores(
            name, points, scaled[learnt], targets[learnt], parts, seed=SEED, scaler=FunctionTransformer
        )
        best = points[winner(scores)]
        model = CLASSIFIERS[name](SEED).set_params(**best).fit(scaled[learnt], targets[learnt])
        answers, known = model.predict(scaled[tested]), model.predict(scaled[learnt])
    return Reproduced(
        best=best,
        search_accuracy=float(scores.mean(axis=1).max()),
        training_accuracy=float((known == targets[learnt]).reshape(len(learnt), -1).all(axis=1).mean()),
        patients=[patients.names[row] for row in tested],
        truth=patients.groups[tested],
        predicted=_named(answers),
        importances=getattr(model, "feature_importances_", None),
    )


def other_orders(name: str, patients: Patients, *, count: int = ORDERS, grid: ParamGrid | None = None) -> list[int]:
    """Return how many test patients are told rightly where the patients come in each of `count` random orders."""
    random = np.random.default_rng(SEED)
    shuffled = [random.permutation(len(patients.names)) for _ in range(count)]
    return [reproduce(name, patients.take(rows), grid=grid).right for rows in shuffled]


def _splitter(name: str) -> KFold | StratifiedKFold:
    """Return what `cv=5` means to scikit-learn: targets of several columns are not stratified."""
    return KFold(FOLDS) if name == "random_forest" else StratifiedKFold(FOLDS)


def _columns(groups: Groups) -> NDArray[np.int64]:
    return np.asarray(groups[:, None] == np.array(GROUPS), dtype=np.int64)


def _named(answers: NDArray[np.generic]) -> Groups:
    """Return groups by name; of several columns the one that is set, and of none the group `none`."""
    if answers.ndim == 1:
        return answers.astype(np.str_)
    none: Sequence[str] = ["none"]
    return np.array([*GROUPS, *none])[np.where(answers.any(axis=1), answers.argmax(axis=1), len(GROUPS))]
