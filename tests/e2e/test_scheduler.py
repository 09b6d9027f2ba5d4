"""One tiny cohort through both DAGs under a real scheduler, and the life of the servers around it."""

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from brats_ml.orchestration.processes import end_marked, marked

ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "phantom.cases=24",
    "phantom.shape=[32, 32, 32]",
    "recipes.seed_mini.size=16",
    "recipes.seed_mini.filters=[4, 8]",
    "recipes.seed_mini.epochs=1",
    "survival.folds=2",
    "survival.repeats=1",
    "survival.minimum_patients=6",
    "survival.limits_days=[280, 515]",
    "survival.grids.random_forest={n_estimators: [5], criterion: [gini]}",
    "survival.grids.svm={C: [1], kernel: [linear], degree: [3], gamma: [1]}",
    "survival.grids.knn={n_neighbors: [3], p: [2], weights: [uniform]}",
    "gate.survival.minimum_cases=1",
    "gate.survival.minimum_gain=-1.0",
    "gate.resamples=100",
]
GIT = ["git", "-c", "user.name=test", "-c", "user.email=test@localhost"]


@dataclass(frozen=True)
class Checkout:
    """A copy of this repository that is run from outside, as a newcomer would."""

    root: Path
    environment: dict[str, str]

    def brats(self, *arguments: str) -> str:
        """Run a `brats` command to its end and return what it printed."""
        command = [sys.executable, "-m", "brats_ml", *arguments]
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(arguments)} failed:\n{done.stdout}"
        return done.stdout

    def processes(self) -> dict[str, int]:
        """Return the process id of each server."""
        recorded: dict[str, int] = json.loads((self.root / ".brats/servers.json").read_text())["processes"]
        return recorded


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    root = tmp_path_factory.mktemp("checkout").resolve()
    # The files as they stand, committed or not.
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "copy"]):
        subprocess.run([*GIT, *command], cwd=root, check=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "BRATS_AIRFLOW_PORT": str(free_port()),
        "BRATS_MLFLOW_PORT": str(free_port()),
    }
    environment.pop("MLFLOW_TRACKING_URI", None)
    made = Checkout(root, environment)
    made.brats("set", *TINY)
    yield made
    end_marked(root)


@pytest.fixture(scope="module")
def story(checkout: Checkout) -> dict[str, object]:
    """Live through it once; what was seen on the way is judged by the tests."""
    seen: dict[str, object] = {"up": checkout.brats("up"), "started": checkout.processes()}
    checkout.brats("up")
    seen["after_second_up"] = checkout.processes()
    psutil.Process(checkout.processes()["triggerer"]).kill()
    checkout.brats("up")
    seen["after_crash"] = checkout.processes()
    seen["demo"] = checkout.brats("demo")
    seen["left_running"] = {process.pid for process in marked(checkout.root)} >= set(checkout.processes().values())
    checkout.brats("down")
    seen["left_after_down"] = marked(checkout.root)
    seen["second_down"] = checkout.brats("down")
    return seen


def test_up_says_where_the_servers_are_and_how_to_log_in(story: dict[str, object], checkout: Checkout) -> None:
    told = str(story["up"])

    assert f"http://127.0.0.1:{checkout.environment['BRATS_AIRFLOW_PORT']}" in told
    assert f"http://127.0.0.1:{checkout.environment['BRATS_MLFLOW_PORT']}" in told
    assert "log in as admin" in told


def test_a_second_up_starts_nothing(story: dict[str, object]) -> None:
    assert story["after_second_up"] == story["started"]


def test_up_after_a_crash_starts_what_is_missing_and_nothing_else(story: dict[str, object]) -> None:
    before, after = story["started"], story["after_crash"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)

    assert {name for name in before if before[name] != after[name]} == {"triggerer"}


def test_every_task_of_both_dags_succeeds(story: dict[str, object]) -> None:
    states = [line for line in str(story["demo"]).splitlines() if line.startswith("brats_")]

    assert len(states) == 19
    assert all(" success " in line for line in states)


def test_the_demo_names_both_champions(story: dict[str, object]) -> None:
    told = str(story["demo"])

    assert "none yet" not in told
    assert told.count("version 1") == 2


def test_unseen_cases_are_scored(story: dict[str, object], checkout: Checkout) -> None:
    with (checkout.root / "predictions/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [row["status"] for row in rows] == ["scored"] * 4
    assert {row["segmentation_model"] for row in rows} == {"brats-segmentation v1"}


def test_servers_that_ran_before_the_demo_run_after_it(story: dict[str, object]) -> None:
    assert story["left_running"]


def test_down_ends_every_process_and_can_be_repeated(story: dict[str, object]) -> None:
    assert story["left_after_down"] == []
    assert "nothing was running" in str(story["second_down"])
