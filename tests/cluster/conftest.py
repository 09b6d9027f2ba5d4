"""One cluster for all tests of this folder, with a tiny cohort."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from brats_ml.environment import for_child
from tests.cluster.airflow import Airflow
from tests.cluster.settings import ROOT, Cluster
from tests.e2e.conftest import TINY

EPOCHS = 8


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A running cluster on a clone of the last commit."""
    folder = tmp_path_factory.mktemp("cluster").resolve()
    checkout = folder / "checkout"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(checkout)], check=True)
    tiny = [*TINY, f"recipes.baseline_mini.epochs={EPOCHS}", "orchestration.score=null"]
    for command in (["set", *tiny], ["inbox"]):
        variables = for_child({"PYTHONPATH": str(checkout)})
        subprocess.run([sys.executable, "-m", "brats_ml", *command], cwd=checkout, env=variables, check=True)
    by_hand = [sys.executable, "-m", "tests.cluster"]
    try:
        subprocess.run([*by_hand, "up", "--folder", str(folder)], cwd=ROOT, check=True)
        yield Cluster.of(folder, checkout)
    finally:
        subprocess.run([*by_hand, "down", "--folder", str(folder)], cwd=ROOT, check=True)


@pytest.fixture(scope="session")
def airflow(cluster: Cluster) -> Iterator[Airflow]:
    with Airflow(cluster) as client:
        yield client
