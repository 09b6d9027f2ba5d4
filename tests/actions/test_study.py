"""A study from the scanner and back: converted, prepared, scored, restored and exported."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest

from brats_ml.actions import score, study_convert, study_export, study_prepare, study_restore
from brats_ml.cohort.phantom import phantom_affine
from brats_ml.config import Params
from brats_ml.workspace import Workspace
from brats_ml.workspace.study import StudyFolder
from tests.actions.registered_models import copy_workspace, make_champion, own_store
from tests.phantom_study import CANARIES, PROTOCOLS, head, rigid, write_study

SHAPE, VOXEL_MM = (36, 36, 34), 5.0
MOVED = PROTOCOLS | {
    "t2": replace(PROTOCOLS["t2"], thickness=2, move=rigid((4, -5, 8), (6, -4, 5))),
    "t1ce": replace(PROTOCOLS["t1ce"], move=rigid((-6, 3, 10), (-5, 8, 4))),
}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_bytes(bytes(range(32)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRATS_PSEUDONYM_KEY_FILE", str(path))
        yield


@pytest.fixture(scope="module")
def params(make_params: Callable[[dict[str, Any]], Params], tmp_path_factory: pytest.TempPathFactory) -> Params:
    """Parameters of tiny heads with large voxels, and an atlas like them."""
    atlas = tmp_path_factory.mktemp("atlas")
    scans, _ = head(0, shape=SHAPE)
    stripped = np.where(scans["t1"] == scans["t1"][0, 0, 0], 0, scans["t1"])
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1]) @ phantom_affine(SHAPE)
    nib.save(nib.Nifti1Image(scans["t1"], affine), atlas / "t1_brats_space.nii")
    nib.save(nib.Nifti1Image(stripped, affine), atlas / "t1_skullstripped_brats_space.nii")
    return make_params(
        {
            "evaluate.runtime": "keras",
            "validate.spacing_mm": VOXEL_MM,
            "study.preparation.atlas": str(atlas),
            "study.preparation.brain": "atlas",
        }
    )


@pytest.fixture(scope="module")
def whole(
    template: Workspace, params: Params, key: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Workspace, StudyFolder]]:
    """A study with moved and thick series and identifying text in all elements, taken the whole way. Read only."""
    source = tmp_path_factory.mktemp("scanner")
    write_study(source, protocols=MOVED, shape=SHAPE, voxel_mm=VOXEL_MM, canaries=True)
    with own_store():
        ws = copy_workspace(template, tmp_path_factory.mktemp("study") / "ws")
        make_champion(ws, "segmentation", 2)
        folder = StudyFolder(ws.root / "study")
        take(ws, params, folder, source)
        yield ws, folder


def take(ws: Workspace, params: Params, folder: StudyFolder, source: Path) -> None:
    study_convert.run(ws, params, study=folder.path, source=source)
    study_prepare.run(ws, params, study=folder.path)
    score.run(ws, params, cases=folder.prepared.path, output=folder.predictions.path)
    study_restore.run(ws, params, study=folder.path)
    study_export.run(ws, params, study=folder.path)


def test_x(whole) -> None:
    ws, folder = whole
    name = json.loads(folder.native.series.path.read_text())["study"]
    print(json.dumps(json.loads((folder.predictions.path / name / "prediction.json").read_text()), indent=1))
    print(folder.restored.volumes.path.read_text())
    for o in folder.export.objects():
        print(pydicom.dcmread(o))
