"""From predictions to a retrained model under a real scheduler: each new release of the cohort starts one training."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from brats_ml.cohort.phantom import phantom_patient
from brats_ml.config import load
from brats_ml.files import digest_file
from brats_ml.workspace import Workspace
from tests.e2e.airflow import Airflow
from tests.e2e.checkout import Checkout
from tests.e2e.conftest import GIT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
COHORT, TRAIN, SCORE = "brats_cohort", "brats_train", "brats_score"
CASES = [f"BraTS20_Validation_{501 + index}" for index in range(4)]
FLOORS = "{minimum_cases: 1, minimum_dice: {WT: 0.0, TC: 0.0, ET: 0.0}}"
# A limit for one training on a machine that others use too.
LIMIT_S = 1500


@dataclass
class Observed:
    """The trainings that had begun after each step, and what else was seen."""

    trainings: dict[str, list[str]] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)


@dataclass
class Cohort:
    """The bare repository that the pipeline reads, and the clone in which releases are made."""

    bare: Path
    clone: Path

    def push(self) -> None:
        subprocess.run([*GIT, "push", "-q", "--follow-tags"], cwd=self.clone, check=True)

    def commit(self, *options: str) -> None:
        subprocess.run([*GIT, "commit", "-q", *options], cwd=self.clone, check=True)


@pytest.fixture(scope="module")
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    """A checkout that looks at its source every minute, and takes every batch of four cases for drift."""
    return make_checkout(
        "orchestration.watch='* * * * *'",
        "orchestration.score=null",
        f"gate.patients.segmentation={FLOORS}",
        "gate.patients.survival.minimum_cases=1",
        "gate.patients.approve_first=false",
        "drift={level: 1.0, cases: 4}",
    )


@pytest.fixture(scope="module")
def cohort(checkout: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """The phantoms of the checkout in a DVC repository of their own, which becomes the source."""
    for stage in ("code", "source", "acquire"):
        checkout.brats(stage)
    folder = tmp_path_factory.mktemp("cohort")
    made = Cohort(folder / "cohort.git", folder / "clone")
    subprocess.run([*GIT, "init", "-q", "--bare", "-b", "main", str(made.bare)], check=True)
    subprocess.run([*GIT, "clone", "-q", str(made.bare), str(made.clone)], check=True)
    for key, value in (("user.name", "test"), ("user.email", "test@localhost")):
        subprocess.run(["git", "config", key, value], cwd=made.clone, check=True)
    for source in ("raw", "tables"):
        shutil.copytree(checkout.root / "data" / source, made.clone / "data/raw", dirs_exist_ok=True)
    shutil.rmtree(checkout.root / "data")  # `brats fetch` puts the results of runs there
    own = Checkout(made.clone, checkout.environment)
    own.dvc("init", "-q")
    own.dvc("remote", "add", "-q", "--default", "store", str(folder / "store"))
    own.dvc("add", "-q", "data/raw")
    own.dvc("push", "-q")
    subprocess.run(["git", "add", "-A"], cwd=made.clone, check=True)
    made.commit("-m", "cohort")
    subprocess.run([*GIT, "push", "-q", "-u", "origin", "HEAD:main"], cwd=made.clone, check=True)
    checkout.brats("set", f"acquire.source=dvc:file://{made.bare}#data/raw@main")
    return made


@pytest.fixture(scope="module")
def observed(checkout: Checkout, cohort: Cohort) -> Observed:
    observed = Observed()
    checkout.brats("up")
    try:
        with Airflow(checkout) as airflow:
            observe(observed, checkout, cohort, airflow)
    finally:
        checkout.brats("down")
    return observed


def observe(observed: Observed, checkout: Checkout, cohort: Cohort, airflow: Airflow) -> None:
    trainings, seen = observed.trainings, observed.seen
    trainings["first cohort"] = settled(checkout, airflow, 1)
    score(observed, checkout, airflow)

    correct(checkout, CASES[:3], second=0)
    killed_release(checkout, cohort)
    seen["release"] = checkout.brats("release", str(cohort.clone))
    cohort.push()
    trainings["killed release"] = settled(checkout, airflow, 2)
    seen["states"] = airflow.states(TRAIN, trainings["killed release"][-1])
    seen["gate"] = airflow.last_log(TRAIN, trainings["killed release"][-1], "gate")

    seen["again"] = checkout.brats("release", str(cohort.clone))
    cohort.commit("--allow-empty", "-m", "nothing new")
    cohort.push()
    trainings["nothing new"] = settled(checkout, airflow, 2)

    for second, case in enumerate((CASES[3], CASES[0]), start=1):
        correct(checkout, [case], second=second)
        checkout.brats("release", str(cohort.clone))
        cohort.push()
    trainings["two in a row"] = settled(checkout, airflow, 3)
    seen["learnt"] = [learnt(checkout, run_id) for run_id in airflow.runs(TRAIN)]


def score(observed: Observed, checkout: Checkout, airflow: Airflow) -> None:
    """Score four new cases, and keep what the operator sees of their drift."""
    checkout.brats("inbox")
    run_id = airflow.trigger(SCORE, {})
    observed.seen["score"] = airflow.finish(SCORE, run_id, limit_s=LIMIT_S)
    observed.seen["drift events"] = airflow.events("brats_drift")
    observed.seen["drift log"] = airflow.read_log(SCORE, run_id, "drift")
    observed.seen["drift page"] = airflow.results(SCORE, run_id)


def settled(checkout: Checkout, airflow: Airflow, least: int) -> list[str]:
    """Return all trainings after at least so many have ended, and two later looks at the source have begun no other."""
    checkout.wait_for(lambda: len(airflow.runs(TRAIN)) >= least, limit_s=LIMIT_S)
    while True:
        for run_id in airflow.unfinished(TRAIN):
            airflow.finish(TRAIN, run_id, limit_s=LIMIT_S)
        begun = airflow.runs(TRAIN)
        checkout.wait_for(partial(have_ended, airflow, 2, since=airflow.runs(COHORT)), limit_s=LIMIT_S)
        if airflow.runs(TRAIN) == begun:
            return begun


def have_ended(airflow: Airflow, count: int, *, since: list[str]) -> bool:
    """Return whether so many looks at the source have begun after those of before, and have ended."""
    return len(set(airflow.runs(COHORT)) - set(since) - set(airflow.unfinished(COHORT))) >= count


def correct(checkout: Checkout, cases: list[str], *, second: int) -> None:
    """Save the reference of each case as the page does, with another voxel each time, and add it to the corrections."""
    saved, params = checkout.root / "saved", load(checkout.root / "params.yaml").phantom
    saved.mkdir(exist_ok=True)
    for case in cases:
        predicted = Workspace(checkout.root).predictions().case(case).labels(case)
        image = nib.load(predicted)
        reference = phantom_patient(int(case[-3:]) - 501, shape=params.shape, seed=params.seed + 1).label
        array = np.asarray(reference).astype(np.asarray(image.dataobj).dtype)
        array[16, 16, second] = 1
        made = nib.Nifti1Image(array, image.affine, image.header)
        note = {
            "format": "brats correction 1", "case_id": case, "reader": "reference", "remark": "",
            "saved_at": f"2026-01-02T10:00:{second:02d}Z", "prediction_sha256": digest_file(predicted), "model": "",
        }  # fmt: skip
        made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", json.dumps(note).encode()))
        nib.save(made, saved / f"{case}-{second}.nii.gz")
    checkout.brats("correct", *(str(saved / f"{case}-{second}.nii.gz") for case in cases))


def killed_release(checkout: Checkout, cohort: Cohort) -> None:
    """Kill a release once its first file is in the clone."""
    with checkout.start(sys.executable, "-m", "brats_ml", "release", str(cohort.clone)) as process:
        checkout.wait_for(lambda: any(cohort.clone.glob(f"data/raw/**/{CASES[0]}*")), limit_s=200)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def learnt(checkout: Checkout, run_id: str) -> dict[str, Any]:
    """Return the label maps of new cases in the cohort of a training, by digest, and the cases that it trained on."""
    checkout.brats("fetch", run_id)
    labels = {
        path.name.removesuffix("_seg.nii.gz"): digest_file(path)
        for path in checkout.root.glob("data/raw/**/BraTS20_Validation_*_seg.nii.gz")
    }
    verdict = json.loads((checkout.root / "models/segmentation/baseline_mini/verdict.json").read_text())
    return {"labels": labels, "train": verdict["cases"]["train"]}


def corrected(checkout: Checkout, case: str) -> str:
    return digest_file(checkout.root / f"corrections/{case}/{case}_seg.nii.gz")


def test_a_killed_release_that_is_repeated_starts_one_training(observed: Observed) -> None:
    assert len(observed.trainings["first cohort"]) == 1
    assert len(observed.trainings["killed release"]) == 2
    assert "3 case(s) added" in observed.seen["release"]


def test_the_training_learns_from_the_corrected_label_maps(observed: Observed, checkout: Checkout) -> None:
    before, after = observed.seen["learnt"][:2]

    assert before["labels"] == {}
    assert after["labels"].keys() == set(CASES[:3])
    assert after["labels"][CASES[1]] == corrected(checkout, CASES[1])
    assert set(after["train"]) & set(CASES[:3])


def test_the_gate_judges_the_new_model(observed: Observed) -> None:
    assert observed.seen["states"]["train.baseline_mini"] == "success"
    assert observed.seen["states"]["gate"] == "success"
    assert "brats-segmentation v2" in observed.seen["gate"]


def test_a_release_of_nothing_new_and_an_empty_commit_start_no_training(observed: Observed) -> None:
    assert "3 case(s) unchanged" in observed.seen["again"]
    assert observed.trainings["nothing new"] == observed.trainings["killed release"]


def test_two_releases_in_a_row_start_at_most_one_training_each_and_the_last_one_has_both(
    observed: Observed, checkout: Checkout
) -> None:
    assert len(observed.trainings["two in a row"]) in (3, 4)
    assert observed.seen["learnt"][-1]["labels"] == {case: corrected(checkout, case) for case in CASES}


def test_an_alarm_of_drift_is_an_event_and_on_the_page_and_fails_nothing(observed: Observed) -> None:
    (event,) = observed.seen["drift events"]

    assert set(observed.seen["score"].values()) == {"success"}
    assert (event["alarm"], event["cases"]) == (True, 4)
    assert observed.seen["drift log"][-1][0] == "warning"
    assert "ALARM: 4 new cases differ" in observed.seen["drift log"][-1][1]
    assert '<p class="alarm" role="alert">drift: ALARM: 4 new cases differ' in observed.seen["drift page"]
