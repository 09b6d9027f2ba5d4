"""The time points of a patient: what changed, which lesions are new, and when nobody can say so."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from brats_ml.actions import batch_page
from brats_ml.actions.follow_up import write_follow_ups
from brats_ml.actions.page_volumes import remember_scans
from brats_ml.actions.unseen_cases import list_unseen
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_volume, write_volume
from brats_ml.cohort.phantom_cohort import phantom_cohort
from brats_ml.cohort.releases import volume_name
from brats_ml.config.operation import FollowUp
from brats_ml.errors import StorageError
from brats_ml.models.prediction_folders import read_record, write_record
from brats_ml.workspace.artefact import Named
from brats_ml.workspace.outputs import PredictionsFolder
from tests.predictions import predict_by_reference, provenance

FIRST, SECOND, THIRD = (f"BraTS-GLI-90001-{number}" for number in (100, 101, 102))
ALONE = "BraTS-GLI-90002-100"
LIMITS = FollowUp(margin_mm=2.0, smallest_ml=0.003)
VOLUMES = {
    FIRST: {"WT": 10_000.0, "TC": 4000.0, "ET": 0.0},
    SECOND: {"WT": 12_500.0, "TC": 4000.0, "ET": 500.0},
    THIRD: {"WT": 5000.0, "TC": 4000.0, "ET": 500.0},
}


def wt_interval(low: float, high: float) -> dict[str, Any]:
    return {"qc": {"score": 0.9, "volume_intervals_mm3": {"WT": {"low": low, "high": high, "coverage": 0.9}}}}


RECORDS: dict[str, dict[str, Any]] = {
    FIRST: {"volume_mm3": VOLUMES[FIRST], **wt_interval(9000, 11_000)},
    SECOND: {"volume_mm3": VOLUMES[SECOND], **wt_interval(10_500, 14_000)},
    THIRD: {"volume_mm3": VOLUMES[THIRD], **wt_interval(4000, 6000)},
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One patient at three time points, with a new lesion at the second, and another patient at one. Read only."""
    cases = tmp_path_factory.mktemp("follow_up")
    for case in phantom_cohort(cases=4, shape=(48, 48, 48), seed=7, lesions=2, time_points=3):
        for role, volume in {**case.images, "seg": case.label}.items():
            place = cases / case.case_id / volume_name(case.case_id, role)
            write_volume(place, volume, VoxelGrid(volume.shape, case.affine))
    return cases


@pytest.fixture(scope="module")
def predicted(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their predictions. Read only."""
    target = PredictionsFolder(tmp_path_factory.mktemp("predicted") / "predictions")
    predict_by_reference(target, drawn, RECORDS)
    return target.path


@pytest.fixture
def cases(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn, tmp_path / "cases")
    return tmp_path / "cases"


@pytest.fixture
def target(predicted: Path, cases: Path, tmp_path: Path) -> PredictionsFolder:
    shutil.copytree(predicted, tmp_path / "predictions")
    target = PredictionsFolder(tmp_path / "predictions")
    for unseen in list_unseen(Named(cases, "cases of the test")).cases:
        remember_scans(target, cases, unseen)
    return target


def followed(target: PredictionsFolder, limits: FollowUp = LIMITS) -> dict[str, Any]:
    """Return what is found of the one patient with several time points."""
    (patient,) = write_follow_ups(
        target, [read_record_of(target, folder.path.name) for folder in target.cases()], limits
    )
    return patient


def test_only_a_patient_with_several_time_points_is_followed(target: PredictionsFolder) -> None:
    batch_page.write_page(target, limits=LIMITS)

    known = re.search(r'id="known">(.*?)</script>', target.page.path.read_text(), re.DOTALL)
    assert known is not None
    (patient,) = json.loads(known[1])["patients"].values()
    assert json.loads(target.follow_up.path.read_text())["patients"] == [patient]
    assert patient["patient"] == "BraTS-GLI-90001"
    assert [point["time_point"] for point in patient["time_points"]] == ["100", "101", "102"]
    marks = re.findall(r'class="turn">(.*?)<', target.page.path.read_text())
    assert sorted(marks) == [f"time point {number} of 3" for number in (1, 2, 3)]


def test_changes_are_in_percent_since_the_time_point_before_and_since_the_first(target: PredictionsFolder) -> None:
    first, second, third = followed(target)["time_points"]

    assert first["change"] == {}
    assert second["change"]["WT"] == {"percent": 25.0, "percent_since_first": 25.0, "intervals_apart": False}
    assert third["change"]["WT"] == {"percent": -60.0, "percent_since_first": -50.0, "intervals_apart": True}
    assert second["change"]["ET"] == {"percent": None, "percent_since_first": None, "intervals_apart": None}
    assert second["volume_mm3"] == VOLUMES[SECOND]


def test_time_points_are_in_the_order_of_their_numbers_and_not_of_scoring(
    cases: Path, target: PredictionsFolder
) -> None:
    tenth = "BraTS-GLI-90001-99"
    (cases / THIRD).rename(cases / tenth)
    for path in (cases / tenth).iterdir():
        path.rename(path.with_name(path.name.replace(THIRD, tenth)))
    shutil.rmtree(target.path)
    predict_by_reference(target, cases, {**RECORDS, tenth: RECORDS[THIRD]})

    assert [point["time_point"] for point in followed(target)["time_points"]] == ["99", "100", "101"]


def test_a_new_lesion_has_volume_side_and_centre(target: PredictionsFolder) -> None:
    at_second, at_third = followed(target)["new_lesions"]
    (lesion,) = at_second["lesions"]
    stored = nib.load(target.case(SECOND).labels(SECOND))
    labels = np.asarray(stored.dataobj)
    voxel = tuple(np.rint(nib.affines.apply_affine(np.linalg.inv(stored.affine), lesion["centre_mm"])).astype(int))
    earlier = np.asarray(nib.load(target.case(FIRST).labels(FIRST)).dataobj)

    assert (at_second["before"], at_second["after"], at_second["aligned"]) == (FIRST, SECOND, True)
    assert labels[voxel] > 0
    assert earlier[voxel] == 0
    assert lesion["volume_ml"] == lesion["regions_ml"]["WT"] > lesion["regions_ml"]["TC"] > 0
    assert lesion["side"] == ("right" if lesion["centre_mm"][0] > 0 else "left")
    assert at_third["lesions"] == []


@pytest.mark.slow
def test_the_limits_decide_what_is_a_new_lesion(target: PredictionsFolder) -> None:
    far, large = (LIMITS.model_copy(update=change) for change in ({"margin_mm": 50.0}, {"smallest_ml": 5.0}))

    assert [followed(target, limits)["new_lesions"][0]["lesions"] for limits in (far, large)] == [[], []]
    assert len(followed(target)["new_lesions"][0]["lesions"]) == 1


@pytest.mark.parametrize("other", [(slice(1, None),) * 3, "moved"])
def test_nobody_can_say_what_is_new_in_another_grid(target: PredictionsFolder, other: Any) -> None:
    place = target.case(SECOND).labels(SECOND)
    stored = read_volume(place)
    if other == "moved":
        affine = stored.grid.affine.copy()
        affine[0, 3] += 1
        write_volume(place, stored.array, VoxelGrid(stored.grid.shape, affine))
    else:
        write_volume(place, stored.array[other], stored.grid.cropped(tuple(slice(1, size) for size in (48, 48, 48))))
    write_record(target.case(SECOND), dict(read_record_of(target, SECOND)))

    at_second, at_third = followed(target)["new_lesions"]

    assert at_second["reason"] == f"the label maps of {FIRST} and {SECOND} have different grids"
    assert at_second["lesions"] is at_third["lesions"] is None


def test_nobody_can_say_what_is_new_in_scans_that_are_not_aligned(
    cases: Path, target: PredictionsFolder, tmp_path: Path
) -> None:
    for path in (cases / THIRD).iterdir():
        stored = read_volume(path)
        write_volume(path, np.roll(stored.array, 12, axis=2), stored.grid)
    shutil.rmtree(target.path)
    predict_by_reference(target, cases, RECORDS)

    at_second, at_third = followed(target)["new_lesions"]

    assert at_second["reason"] is None
    assert re.search(r"overlap with a Dice of 0\.\d\d only, so their scans are not aligned", at_third["reason"])


def test_without_scans_the_alignment_is_unknown(cases: Path, target: PredictionsFolder) -> None:
    shutil.rmtree(cases / SECOND)

    at_second, at_third = followed(target)["new_lesions"]

    assert (at_second["aligned"], at_third["aligned"], at_second["reason"]) == (None, None, None)
    assert len(at_second["lesions"]) == 1


@pytest.mark.slow
def test_time_points_of_different_models_are_noted(target: PredictionsFolder) -> None:
    record, newer = read_record_of(target, THIRD), provenance()["segmentation"] | {"version": 4}
    write_record(target.case(THIRD), {**record, "provenance": {**record["provenance"], "segmentation": newer}})

    note = "predicted by brats-segmentation v3 and brats-segmentation v4, so a part of the change may be theirs."
    assert followed(target)["note"].endswith(note)


@pytest.mark.slow
def test_an_older_prediction_without_volumes_and_values_stops_nothing(target: PredictionsFolder) -> None:
    record = read_record_of(target, SECOND)
    origin = {name: value for name, value in record["provenance"].items() if name != "labels"}
    write_record(target.case(SECOND), {**record, "provenance": origin, "volume_mm3": {}})

    patient = followed(target)

    assert patient["regions"] == []
    reason = f"the prediction of {SECOND} does not say which values its labels have"
    assert [pair["reason"] for pair in patient["new_lesions"]] == [reason, reason]


@pytest.mark.slow
def test_a_label_map_of_other_values_stops_nothing(target: PredictionsFolder) -> None:
    record = read_record_of(target, SECOND)
    wrong = {**record["provenance"], "labels": "brats2017-2021"}
    write_record(target.case(SECOND), {**record, "provenance": wrong})

    for pair in followed(target)["new_lesions"]:
        assert "label values 3 are not in scheme brats2017-2021" in pair["reason"]


def test_nothing_is_compared_again_when_nothing_changed(target: PredictionsFolder) -> None:
    followed(target)
    before = target.follow_up.path.stat()
    followed(target)
    assert target.follow_up.path.stat() == before


@pytest.mark.parametrize("damage", ["torn", pytest.param("changed", marks=pytest.mark.slow)])
def test_a_damaged_file_is_made_again(target: PredictionsFolder, damage: str) -> None:
    followed(target)
    whole = target.follow_up.path.read_text()
    target.follow_up.path.write_text(whole[:99] if damage == "torn" else whole.replace("25.0", "75.0", 1))

    followed(target)

    assert target.follow_up.path.read_text() == whole


@pytest.mark.slow
def test_a_patient_with_one_time_point_left_is_not_followed(target: PredictionsFolder) -> None:
    followed(target)
    for case_id in (FIRST, THIRD):
        shutil.rmtree(target.case(case_id).path)

    batch_page.write_page(target, limits=LIMITS)

    assert json.loads(target.follow_up.path.read_text())["patients"] == []


@pytest.mark.slow
def test_a_batch_of_single_time_points_has_no_such_file(target: PredictionsFolder) -> None:
    for case_id in (FIRST, THIRD):
        shutil.rmtree(target.case(case_id).path)

    batch_page.write_page(target, limits=LIMITS)

    assert not target.follow_up.path.exists()


def test_a_folder_of_that_name_is_the_users(target: PredictionsFolder) -> None:
    (target.follow_up.path / "mine").mkdir(parents=True)

    with pytest.raises(StorageError, match=r"follow_up\.json is a folder, .* move it away"):
        batch_page.write_page(target, limits=LIMITS)


def read_record_of(target: PredictionsFolder, case_id: str) -> dict[str, Any]:
    record = read_record(target.case(case_id))
    assert record is not None
    return record
