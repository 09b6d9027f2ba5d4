"""The page of a batch in a real browser, opened from the disk: what a reader sees, draws and saves."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from brats_ml.actions import batch_page, correct
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_comments, write_volume
from brats_ml.cohort.phantom_cohort import phantom_cohort
from brats_ml.cohort.releases import volume_name
from brats_ml.config.operation import FollowUp
from brats_ml.models.prediction_folders import write_record
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PredictionsFolder
from brats_ml.workspace.viewer import installed
from tests.environments import python_or_skip
from tests.predictions import SURVIVAL, predict_by_reference, provenance

pytestmark = pytest.mark.slow
PROGRAM = Path(__file__).parents[1] / "page_program.py"
WORST, SECOND, TURNED = "BraTS20_Training_504", "BraTS20_Training_501", "BraTS20_Training_503"
HOSTILE = "<img src=//there.example/x onerror=document.title='hostile'>"
QC: dict[str, dict[str, Any]] = {
    WORST: {"qc": {"score": 0.21, "reasons": [HOSTILE], "review": True}},
    SECOND: {"qc": {"score": 0.5, "reasons": [], "review": False}},
    TURNED: {"qc": {"score": 0.7, "reasons": [], "review": False}},
}


def seen_in_browser(page: Path, downloads: Path, case_to_correct: str = "") -> dict[str, Any]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    command = [python_or_skip("playwright"), PROGRAM, page.as_uri(), chromium, downloads, case_to_correct]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def turn(folder: Path) -> None:
    """Store the volumes of a case in another orientation, with axes of different lengths."""
    target = nib.orientations.axcodes2ornt("PSR")
    for path in sorted(folder.glob("*.nii.gz")):
        image = nib.load(path)
        turned = image.as_reoriented(
            nib.orientations.ornt_transform(nib.orientations.io_orientation(image.affine), target)
        )
        nib.save(turned.slicer[1:, :-2, 3:], path)


@pytest.fixture(scope="module")
def ws(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    if not installed().is_file():
        pytest.skip("NiiVue is not installed: `make install` adds it where npm is")
    ws = Workspace(tmp_path_factory.mktemp("browser"))
    shutil.copytree(cohort, ws.inbox.path)
    turn(ws.inbox.path / TURNED)
    predict_by_reference(ws.predictions(), ws.inbox.path, QC)
    batch_page.write_page(ws.predictions())
    return ws


@pytest.fixture(scope="module")
def seen(ws: Workspace) -> dict[str, Any]:
    """What a browser saw, and the files that it saved in the workspace."""
    return seen_in_browser(ws.predictions().page.path, ws.root, TURNED)


def test_the_page_works_without_an_error_and_asks_nobody(ws: Workspace, seen: dict[str, Any]) -> None:
    assert seen["errors"] == []
    folder = ws.predictions().path.as_uri()
    assert [address for address in seen["requests"] if not address.startswith((folder, "data:", "blob:"))] == []


def test_the_table_begins_with_the_worst_case_which_is_open(seen: dict[str, Any]) -> None:
    assert seen["rows"][:3] == [WORST, SECOND, TURNED]
    assert len(seen["rows"]) == 6
    assert (seen["first"], seen["second"], seen["back"]) == (WORST, SECOND, WORST)
    assert seen["by_name"] == sorted(seen["rows"])


def test_the_search_field_takes_letters_that_are_keys_elsewhere(seen: dict[str, Any]) -> None:
    assert seen["found"] == [TURNED]
    assert seen["open_after_typing"] == WORST


def test_volumes_and_survival_are_next_to_the_case(seen: dict[str, Any]) -> None:
    assert HOSTILE in seen["facts"]
    for text in ("WT\t5.00", "Group “mid”", "80 % interval 200 to 900 days", "short\t30 %"):
        assert text in seen["facts"]


def test_labels_are_drawn_in_colour_and_can_be_hidden(seen: dict[str, Any]) -> None:
    assert seen["with_labels"]["count"] > 500
    assert seen["without_labels"]["count"] == 0
    assert seen["with_labels_again"]["count"] == seen["with_labels"]["count"]


def test_the_right_of_the_patient_is_on_the_left_until_the_picture_is_flipped(
    ws: Workspace, seen: dict[str, Any]
) -> None:
    labels, scan = (
        np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj)
        for path in (ws.predictions().case(WORST).labels(WORST), ws.inbox.path / WORST / f"{WORST}_flair.nii.gz")
    )
    plane = int((labels != 0).sum(axis=(0, 1)).argmax())
    brain = np.flatnonzero((scan != 0).any(axis=(1, 2)))
    # From the patient's left, at 0, to the right, at 1: nibabel's canonical axes run to the right.
    to_the_right = (np.argwhere(labels[..., plane])[:, 0].mean() - brain[0]) / (brain[-1] - brain[0])
    assert abs(to_the_right - 0.5) > 0.03, "the tumour of this phantom is in the middle: take another case"
    assert (seen["with_labels"]["middle"] < 0.5) == (to_the_right > 0.5)
    assert (seen["with_labels_flipped"]["middle"] > 0.5) == (to_the_right > 0.5)
    assert "right is on the left" in seen["convention"]
    assert "right is on the right" in seen["flipped"]


def test_the_mirror_side_is_at_the_same_distance_from_the_middle(seen: dict[str, Any]) -> None:
    before, after = seen["before_mirror"], seen["after_mirror"]
    assert before[1:] == after[1:]
    assert before[0] + after[0] == pytest.approx(1, abs=0.1)  # the scans are cropped to the brain
    assert before[0] != after[0]
    assert seen["moved_up"] > 0


def test_a_label_map_that_is_saved_unchanged_is_that_of_the_prediction(ws: Workspace, seen: dict[str, Any]) -> None:
    assert seen["corrected"] == TURNED
    predicted = nib.load(ws.predictions().case(TURNED).labels(TURNED))
    same = nib.load(ws.root / "unchanged.nii.gz")
    np.testing.assert_array_equal(np.asarray(same.dataobj), np.asarray(predicted.dataobj))
    assert same.get_data_dtype() == predicted.get_data_dtype()
    same.header["vox_offset"] = predicted.header["vox_offset"]  # the note is in front of the voxels
    assert same.header.binaryblock == predicted.header.binaryblock


def test_exactly_the_drawn_voxel_differs(ws: Workspace, seen: dict[str, Any]) -> None:
    predicted = nib.load(ws.predictions().case(TURNED).labels(TURNED))
    changed = nib.load(ws.root / "changed.nii.gz")
    array = np.asarray(changed.dataobj)
    where = np.argwhere(array != np.asarray(predicted.dataobj))
    assert len(where) == 1
    assert array[tuple(where[0])] == 4
    at_mm = nib.affines.apply_affine(predicted.affine, where[0])
    assert np.abs(at_mm - seen["drawn_at"][:3]).max() <= 0.51
    assert seen["changed"] == "1 voxel(s) differ from the prediction."
    assert seen["undone"] == ""


def test_the_saved_file_is_accepted_as_a_correction(ws: Workspace, seen: dict[str, Any]) -> None:
    note = json.loads(read_comments(ws.root / "changed.nii.gz")[0])
    assert note["reader"] == "Dr. <b>Ä</b>"
    report = correct.run(ws, None, label_maps=[ws.root / "changed.nii.gz"])  # type: ignore[arg-type]
    assert report.details == {"added": 1}


@pytest.mark.parametrize("width", [1400, 420])
def test_axe_finds_nothing_and_nothing_is_too_wide(seen: dict[str, Any], width: int) -> None:
    assert seen[f"axe_{width}"] == []
    assert not seen[f"too_wide_{width}"]


def test_five_hundred_cases_are_in_one_page(ws: Workspace, tmp_path: Path) -> None:
    target = PredictionsFolder(tmp_path / "predictions")
    labels = ws.predictions().case(SECOND).labels(SECOND)
    for number in range(500):
        case_id = f"Case_{number:03}"
        folder = target.case(case_id)
        folder.path.mkdir(parents=True)
        shutil.copyfile(labels, folder.labels(case_id))
        record = {"case_id": case_id, "patient": case_id, "status": "scored", "provenance": provenance()}
        qc = {"score": (number * 37 % 500) / 500, "reasons": [], "review": number % 10 == 0}
        write_record(folder, record | {"volume_mm3": {"WT": 1000.0}, "flags": [], "survival": SURVIVAL, "qc": qc})
    batch_page.write_page(target)
    seen = seen_in_browser(target.page.path, tmp_path)
    assert seen["rows"] == 500
    assert seen["last"] == "Case_027"  # 27 * 37 = 999, the highest score
    assert seen["by_name"][:2] == ["Case_000", "Case_001"]
    assert seen["errors"] == []


def test_a_patient_with_two_time_points_is_shown_over_time(tmp_path: Path) -> None:
    for case in phantom_cohort(cases=2, shape=(48, 48, 48), seed=7, lesions=2, time_points=2):
        for role, volume in {**case.images, "seg": case.label}.items():
            place = tmp_path / "cases" / case.case_id / volume_name(case.case_id, role)
            write_volume(place, volume, VoxelGrid(volume.shape, case.affine))
    target = PredictionsFolder(tmp_path / "predictions")
    before, after = "BraTS-GLI-90001-100", "BraTS-GLI-90001-101"
    interval = {"WT": {"low": 4500.0, "high": 5500.0, "coverage": 0.9}}
    later = {"volume_mm3": {"WT": 7500.0, "TC": 4000.0, "ET": 0.0}}
    records: dict[str, dict[str, Any]] = {
        before: {"qc": {"score": 0.9, "reasons": [], "review": False, "volume_intervals_mm3": interval}},
        after: {**later, "qc": {"score": 0.5, "reasons": [], "review": False}},
    }
    predict_by_reference(target, tmp_path / "cases", records)
    batch_page.write_page(target, limits=FollowUp(margin_mm=2, smallest_ml=0.01))
    (lesion,) = json.loads(target.follow_up.path.read_text())["patients"][0]["new_lesions"][0]["lesions"]

    seen = seen_in_browser(target.page.path, tmp_path)

    assert (seen["first"], seen["opened"], seen["with_new_lesion"]) == (after, before, after)
    for text in ("Over time: BraTS-GLI-90001", "7.50", "+50 %", "\u2212100 %", "4.50 to 5.50"):
        assert text in seen["over_time"]
    assert "1 new lesion at 101, compared with 100:" in seen["over_time"]
    assert f"{lesion['volume_ml']:.2f} ml" in seen["over_time"]
    assert "on the patient's left" in seen["over_time"]
    assert "this one is later" in seen["facts_of_later"]
    assert "this one is later" not in seen["facts_of_first"]
    assert seen["cross_mm"][:3] == pytest.approx(lesion["centre_mm"], abs=0.6)
    assert seen["lines"] == 4  # a line for each region, and one interval
    assert seen["errors"] == seen["axe_1400"] == seen["axe_420"] == []
    assert not seen["too_wide_1400"]
    assert not seen["too_wide_420"]
