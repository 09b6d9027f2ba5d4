"""A fixture that copies this repository and sets a tiny cohort."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from brats_ml.orchestration.runs.processes import end_marked
from tests.e2e.checkout import Checkout
from tests.s3_server import free_port

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "orchestration.janitor=null",
    "orchestration.reproduce=null",
    "phantom.cases=24",
    "phantom.shape=[32, 32, 32]",
    "recipes.baseline_mini.size=16",
    "recipes.baseline_mini.filters=[4, 8]",
    "recipes.baseline_mini.epochs=1",
    "survival.folds=2",
    "survival.repeats=1",
    "survival.minimum_patients=6",
    "survival.limits_days=[280, 515]",
    "survival.grids.random_forest={n_estimators: [5], criterion: [gini]}",
    "survival.grids.svm={C: [1], kernel: [linear], degree: [3], gamma: [1]}",
    "survival.grids.knn={n_neighbors: [3], p: [2], weights: [uniform]}",
    "survival.grids.cox={penalty: [0.01]}",
    "gate.synthetic.segmentation={minimum_cases: 1, minimum_dice: {WT: 0.0, TC: 0.0, ET: 0.0}}",
    "gate.synthetic.survival.minimum_cases=1",
]
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]
# All copies have the same commit, which the report names.
COMMITTED = {"GIT_AUTHOR_DATE": "2026-01-31T12:00:00+00:00", "GIT_COMMITTER_DATE": "2026-01-31T12:00:00+00:00"}


@pytest.fixture(scope="module")
def make_checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Checkout]]:
    """A function that copies the repository and sets a tiny cohort and the given values in params.yaml."""
    made: list[Path] = []

    def make(*assignments: str) -> Checkout:
        root = tmp_path_factory.mktemp("checkout").resolve()
        made.append(root)
        # Untracked files of a demo or a `dvc repro`, such as dvc.lock, are not copied.
        listing = ["git", "ls-files", "-z"]
        listed = subprocess.run(listing, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).exists():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, root / name)
        for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "copy"]):
            subprocess.run([*GIT, *command], cwd=root, check=True, env={**os.environ, **COMMITTED})
        environment = {
            **os.environ,
            # Stages call `python`: this must be the Python of the tests, with the code of the copy.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(root),
            "BRATS_AIRFLOW_PORT": str(free_port()),
            "BRATS_MLFLOW_PORT": str(free_port()),
        }
        environment.pop("MLFLOW_TRACKING_URI", None)
        checkout = Checkout(root, environment)
        checkout.brats("set", *TINY, *assignments)
        return checkout

    yield make
    for root in made:
        end_marked(root)
