import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from brats_ml.adapters.files import digest_tree
from brats_ml.adapters.nifti import Grid
from brats_ml.cohort.cases import Case, find_cases
from brats_ml.config import Params
from brats_ml.errors import EmptyCohortError, MissingInputError
from brats_ml.imaging.profile import COLUMNS
from brats_ml.stages import validate
from brats_ml.workspace import Workspace

BAD = "BraTS20_Training_502"


def volume(ws: Workspace, role: str) -> Path:
    return ws.raw / BAD / f"{BAD}_{role}.nii.gz"


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], affine: np.ndarray | None = None) -> None:
    image = nib.load(path)
    array = change(np.asanyarray(image.dataobj))
    nib.save(nib.Nifti1Image(array, image.affine if affine is None else affine), path)


def remove_t2(ws: Workspace) -> None:
    volume(ws, "t2").unlink()


def cut_t1_short(ws: Workspace) -> None:
    path = volume(ws, "t1")
    path.write_bytes(path.read_bytes()[:5000])


def relabel(ws: Workspace) -> None:
    rewrite(volume(ws, "seg"), lambda array: np.where(array == 4, 7, array).astype(np.uint8))


def empty_flair(ws: Workspace) -> None:
    rewrite(volume(ws, "flair"), np.zeros_like)


def spoil_t1ce(ws: Workspace) -> None:
    rewrite(volume(ws, "t1ce"), lambda array: np.where(array == 0, np.nan, array).astype(np.float32))


def shift_label_map(ws: Workspace) -> None:
    rewrite(volume(ws, "seg"), lambda array: array, np.diag([-1.0, -1.0, 1.0, 1.0]))


def crop_every_volume(ws: Workspace) -> None:
    for path in (ws.raw / BAD).iterdir():
        rewrite(path, lambda array: array[:, :, :20])


FAULTS = [
    (remove_t2, "t2 is missing"),
    (cut_t1_short, f"t1 cannot be read: {BAD}_t1.nii.gz is damaged or cut short"),
    (relabel, "seg holds labels 0 1 2 7, not all of which its release knows"),
    (empty_flair, "flair is zero everywhere"),
    (spoil_t1ce, "t1ce holds values that are not finite"),
    (shift_label_map, "seg lies on another grid than the other volumes of the case"),
    (crop_every_volume, "flair has 20 voxels along z, not 32 to 512; t1 has 20"),
]


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_sound_cohort_is_valid_whole(workspace: Workspace, params: Params) -> None:
    report = validate.run(workspace, params)

    cases = read(workspace.manifest)["cases"]
    assert [case["case_id"] for case in cases] == [f"BraTS20_Training_50{number}" for number in range(1, 7)]
    assert read(workspace.quarantine) == []
    headers = pd.read_csv(workspace.headers)
    assert list(headers.columns) == list(COLUMNS)
    assert len(headers) == 6 * 5
    assert set(headers.loc[headers["modality"] == "seg", "labels"]) == {"0 1 2 4", "0 1 2"}
    assert str(report) == "validate: 6 of 6 cases valid"


def test_a_record_of_the_manifest_holds_case_grid_and_digest(workspace: Workspace, params: Params) -> None:
    validate.run(workspace, params)

    record = read(workspace.manifest)["cases"][0]
    grid, digest = Grid.from_dict(record.pop("grid")), record.pop("digest")
    assert Case(**record).label == "BraTS20_Training_501/BraTS20_Training_501_seg.nii.gz"
    assert (grid.shape, grid.axes) == ((32, 32, 32), "LPS")
    assert len(digest) == 64


@pytest.mark.parametrize(("spoil", "reason"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_case_that_breaks_a_rule_is_quarantined_and_the_others_go_on(
    spoil: Callable[[Workspace], None], reason: str, workspace: Workspace, params: Params
) -> None:
    spoil(workspace)

    report = validate.run(workspace, params)

    (entry,) = read(workspace.quarantine)
    assert entry["case_id"] == BAD
    assert entry["reason"].startswith(reason)
    assert str(workspace.root) not in entry["reason"]
    assert BAD not in {case["case_id"] for case in read(workspace.manifest)["cases"]}
    assert str(report).startswith("validate: 5 of 6 cases valid, 1 quarantined (see ")


@pytest.mark.parametrize(("spoil", "reason"), FAULTS, ids=lambda value: getattr(value, "__name__", ""))
def test_unseen_cases_are_held_against_the_same_rules(
    spoil: Callable[[Workspace], None], reason: str, workspace: Workspace, params: Params
) -> None:
    spoil(workspace)
    cases = find_cases(path.relative_to(workspace.raw).as_posix() for path in workspace.raw.rglob("*"))

    problems = {case.case_id: validate.case_problems(workspace.raw, case, params.validate_) for case in cases}

    assert "; ".join(problems.pop(BAD)).startswith(reason)
    assert not any(problems.values())


def test_a_case_without_a_label_map_is_valid(workspace: Workspace, params: Params) -> None:
    volume(workspace, "seg").unlink()

    validate.run(workspace, params)

    assert read(workspace.manifest)["cases"][1]["label"] is None


def test_an_equal_cohort_gives_equal_bytes(workspace: Workspace, params: Params) -> None:
    validate.run(workspace, params)
    before = digest_tree(workspace.validation)

    validate.run(workspace, params)

    assert digest_tree(workspace.validation) == before


def test_the_digest_of_a_case_changes_with_its_files(workspace: Workspace, params: Params) -> None:
    validate.run(workspace, params)
    before = [case["digest"] for case in read(workspace.manifest)["cases"]]
    rewrite(volume(workspace, "t1"), lambda array: array + (array > 0).astype(np.int16))

    validate.run(workspace, params)

    after = [case["digest"] for case in read(workspace.manifest)["cases"]]
    assert [one != other for one, other in zip(before, after, strict=True)] == [False, True, False, False, False, False]


def test_a_cohort_of_tables_alone_has_an_empty_manifest(workspace: Workspace, params: Params) -> None:
    shutil.rmtree(workspace.raw)
    workspace.raw.mkdir()

    report = validate.run(workspace, params)

    assert read(workspace.manifest) == {"cases": []}
    assert str(report) == "validate: 0 of 0 cases valid"


def test_a_cohort_that_is_quarantined_whole_is_refused_and_says_why(
    workspace: Workspace, make_params: Callable[[dict[str, Any]], Params]
) -> None:
    with pytest.raises(EmptyCohortError, match="all 6 cases are quarantined, such as BraTS20_Training_501: flair has"):
        validate.run(workspace, make_params({"validate.minimum_size": 64}))

    assert len(read(workspace.quarantine)) == 6


def test_without_raw_data_the_stage_before_is_named(tmp_path: Path, params: Params) -> None:
    with pytest.raises(MissingInputError, match="run `brats acquire` first"):
        validate.run(Workspace(tmp_path), params)


@pytest.mark.parametrize(
    "release", ["MICCAI_BraTS2020_TrainingData", "BraTS2021_TrainingData", "BraTS2023_SSA_TrainingData"]
)
def test_real_cases_are_valid(release: str, real_data: Path, params: Params) -> None:
    folder = real_data / release
    cases = find_cases(path.relative_to(folder).as_posix() for path in folder.rglob("*"))

    assert validate.case_problems(folder, cases[0], params.validate_) == []
