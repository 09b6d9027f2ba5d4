"""Predictions as a derivative dataset of BIDS."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brats_ml.actions import bids_derivatives, score
from brats_ml.cohort.bids import BidsCase
from brats_ml.config import Params
from brats_ml.errors import EmptyCohortError, SourceError
from brats_ml.workspace import Workspace
from tests.actions.registered_models import copy_workspace, make_champion, own_store
from tests.environments import python_or_skip

FIRST = "BraTS20_Validation_501"


@pytest.fixture(scope="module")
def scored(template: Workspace, quick_params: Params, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with own_store():
        ws = copy_workspace(template, tmp_path_factory.mktemp("bids") / "ws")
        make_champion(ws, "segmentation", 1)
        score.run(ws, quick_params)
        yield ws


def test_each_case_has_its_label_map_the_meaning_of_its_values_and_its_origin(
    scored: Workspace, quick_params: Params, tmp_path: Path
) -> None:
    bids_derivatives.run(scored, quick_params, target=tmp_path / "derivatives")

    anat = tmp_path / "derivatives/sub-BraTS20Validation501/anat"
    (labels,) = anat.glob("*_dseg.nii.gz")
    original = scored.predictions().case(FIRST).labels(FIRST)
    assert labels.name == "sub-BraTS20Validation501_space-orig_seg-brats_dseg.nii.gz"
    assert labels.read_bytes() == original.read_bytes()
    rows = [
        line.split("\t") for line in labels.with_name(labels.name.replace(".nii.gz", ".tsv")).read_text().split("\n")
    ]
    assert [row[:2] for row in rows[:4]] == [
        ["index", "name"], ["1", "necrotic core"], ["2", "edema"], ["4", "enhancing tumour"],
    ]  # fmt: skip
    assert set(np.unique(np.asarray(nib.load(labels).dataobj))) <= {0, *(int(row[0]) for row in rows[1:4])}
    sidecar = json.loads(labels.with_name(labels.name.replace(".nii.gz", ".json")).read_text())
    assert sidecar["Description"] == "Brain tumour by brats-segmentation version 1"
    assert set(sidecar["SourceDigests"]) == {"flair", "t1", "t1ce", "t2"}


@pytest.mark.slow
def test_the_validator_of_bids_accepts_the_dataset(scored: Workspace, quick_params: Params, tmp_path: Path) -> None:
    bids_derivatives.run(scored, quick_params, target=tmp_path / "derivatives")
    program = python_or_skip("bids").with_name("bids-validator-deno")

    done = subprocess.run([program, tmp_path / "derivatives"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
    assert "[ERROR]" not in done.stdout


def test_a_dataset_is_never_replaced(scored: Workspace, quick_params: Params, tmp_path: Path) -> None:
    (tmp_path / "derivatives").mkdir()

    with pytest.raises(SourceError, match="exists already; name a new folder"):
        bids_derivatives.run(scored, quick_params, target=tmp_path / "derivatives")


@pytest.mark.slow
def test_two_cases_that_bids_would_call_the_same_are_refused(
    scored: Workspace, quick_params: Params, tmp_path: Path
) -> None:
    output = tmp_path / "predictions"
    cases = shutil.copytree(scored.inbox.path, tmp_path / "inbox")
    shutil.copytree(cases / FIRST, cases / "BraTS20-Validation501")
    for path in (cases / "BraTS20-Validation501").iterdir():
        path.rename(path.with_name(path.name.replace(FIRST, "BraTS20-Validation501")))
    with own_store():
        score.run(scored, quick_params, cases=cases, output=output)

    with pytest.raises(SourceError, match="which BIDS would give one name; rename one"):
        bids_derivatives.run(scored, quick_params, target=tmp_path / "derivatives", output=output)


def test_without_a_scored_case_there_is_no_dataset(scored: Workspace, quick_params: Params, tmp_path: Path) -> None:
    with pytest.raises(EmptyCohortError, match="holds no scored case"):
        bids_derivatives.run(scored, quick_params, target=tmp_path / "x", output=tmp_path / "none")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("case_id", "folder"),
    [
        ("sub-01_ses-02", "sub-01/ses-02/anat"),
        ("BraTS-GLI-00001-000", "sub-BraTSGLI00001000/anat"),
        ("PAT_1", "sub-PAT1/anat"),
    ],
)
def test_a_case_of_bids_keeps_its_name_and_another_one_loses_its_signs(case_id: str, folder: str) -> None:
    assert BidsCase.of(case_id).folder == folder
