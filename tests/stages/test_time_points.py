"""Patients with several time points in the stages: one part, one fold, one patient to learn survival from."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from brats_ml.cohort.names import patient_of
from brats_ml.config import Params
from brats_ml.dataset.partition import labelled_cases
from brats_ml.files import read_json
from brats_ml.stages import acquire, features, preprocess, source, split, validate
from brats_ml.stages.train import training_folds
from brats_ml.survival.patients import known_patients, row_states
from brats_ml.workspace import Workspace

MakeParams = Callable[[dict[str, Any]], Params]


@pytest.fixture(scope="module")
def params(make_params: MakeParams) -> Params:
    """Five patients with two time points each, and one with one."""
    return make_params({"phantom.cases": 11, "phantom.lesions": 2, "phantom.time_points": 2, "train.folds": 2})


@pytest.fixture(scope="module")
def made(params: Params, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Their workspace after preprocessing. Read only."""
    ws = Workspace(tmp_path_factory.mktemp("time_points"))
    for stage in (source, acquire, validate, split, preprocess):
        stage.run(ws, params)
    return ws


@pytest.fixture
def ws(made: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(made.root, tmp_path / "copy")
    return Workspace(tmp_path / "copy")


def test_time_points_of_a_patient_stay_together_from_split_to_survival(ws: Workspace, params: Params) -> None:
    parts = labelled_cases(ws)
    patients = {part: {patient_of(case_id) for case_id in cases} for part, cases in parts.items()}
    assert sum(map(len, parts.values())) == 11
    assert sum(map(len, patients.values())) == len(set.union(*patients.values())) == 6
    assert len(read_json(ws.splits)["patients"]) == 6

    folds = training_folds(ws, params, parts["train"])
    assert len({(patient_of(case_id), fold) for case_id, fold in folds.items()}) == len(patients["train"])
    assert set(folds.values()) == {0, 1}

    features.run(ws, params, masks="reference")
    table = pd.read_csv(ws.features("reference").path)
    states = row_states(table, cohort="all")
    assert len(table) == 11
    assert table["age_years"].notna().all()
    second = table["case_id"].str.endswith("-101")
    assert set(states[second]) == {"follow_up"}
    assert set(states[~second]) <= {"labelled", "censored"}
    learnt = known_patients(table[states.isin(["labelled", "censored"])], limits_days=[300, 450])
    assert learnt.names == [f"BraTS-GLI-9000{number}" for number in range(1, 7)]


def test_a_later_time_point_of_a_known_patient_comes_to_the_part_of_the_first(
    ws: Workspace, make_params: MakeParams
) -> None:
    before = read_json(ws.splits)["patients"]

    for stage in (source, acquire, validate, split):
        stage.run(ws, make_params({"phantom.cases": 12, "phantom.lesions": 2, "phantom.time_points": 2}))

    assert read_json(ws.splits)["patients"] == before
    cases = [case["case_id"] for case in read_json(ws.validation.manifest)["cases"]]
    assert "BraTS-GLI-90006-101" in cases
