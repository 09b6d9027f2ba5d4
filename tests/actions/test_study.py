"""A study from the scanner and back: converted, prepared, scored, restored and exported."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest

from brats_ml.actions import score, study_convert, study_export, study_prepare, study_restore
from brats_ml.config import Params
from brats_ml.errors import SourceError
from brats_ml.workspace import Workspace
from brats_ml.workspace.study import StudyFolder
from tests.actions.registered_models import copy_workspace, make_champion, own_store
from tests.phantom_study import CANARIES, PROTOCOLS, rigid, write_atlas, write_study

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
    write_atlas(atlas, shape=SHAPE, voxel_mm=VOXEL_MM)
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


def read(path: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text())
    return found


def labels_by_position(path: Path) -> dict[tuple[int, ...], int]:
    """Return the label of every labelled voxel of a NIfTI file, by its position in the scanner in tenths of a mm."""
    image = nib.load(path)
    array = np.asarray(image.dataobj)
    voxels = np.argwhere(array)
    places = np.rint(10 * nib.affines.apply_affine(image.affine, voxels)).astype(int)
    return {tuple(place): int(array[tuple(voxel)]) for place, voxel in zip(places, voxels, strict=True)}


def segments_by_position(path: Path) -> dict[tuple[int, ...], int]:
    """Return the segment of every voxel of a segmentation, by its position, from the standard's elements alone."""
    seg = pydicom.dcmread(path)
    shared, found = seg.SharedFunctionalGroupsSequence[0], {}
    turned = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    rows_mm, columns_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    for frame, group in zip(np.atleast_3d(seg.pixel_array), seg.PerFrameFunctionalGroupsSequence, strict=True):
        start = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(frame):
            lps = start + turned[0] * columns_mm * column + turned[1] * rows_mm * row
            place = tuple(np.rint(10 * lps * [-1, -1, 1]).astype(int))
            if seg.SegmentationType == "LABELMAP":
                found[place] = int(frame[row, column])
            else:
                found[place] = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
    return found


# The values of BraTS 2017-2021, in the order of the segments.
STORED = {1: 1, 2: 2, 4: 3}


def test_each_series_becomes_its_modality(whole: tuple[Workspace, StudyFolder]) -> None:
    series = read(whole[1].native.series)

    assert series["modalities"] == {"flair": 4, "t1": 1, "t1ce": 2, "t2": 3}
    assert series["unclear"] == []
    assert all(one["confidence"] > 0.9 for one in series["series"])


def test_no_text_of_a_header_leaves_the_files_of_the_scanner(whole: tuple[Workspace, StudyFolder]) -> None:
    """Only what came, and what goes back to the same patient, may hold identity; paths and all other bytes do not."""
    ws, folder = whole
    own = (folder.dicom.path, folder.export.path)
    searched = [path for path in ws.root.rglob("*") if not any(part in (path, *path.parents) for part in own)]

    assert len(searched) > 30
    for path in searched:
        contents = path.read_bytes() if path.is_file() else b""
        if path.suffix == ".gz":
            contents += bytes(nib.load(path).header.binaryblock)
        for text in CANARIES.values():
            assert text.encode() not in contents + str(path).encode(), path


def test_moved_series_are_brought_together(whole: tuple[Workspace, StudyFolder], params: Params) -> None:
    """T2 and T1ce were taken in another pose; after preparation their brains lie where that of T1 does."""
    folder = whole[1]
    name = read(folder.native.series)["study"]
    moves = {one: np.loadtxt(folder.prepared.matrix(one)) for one in ("t1", "t1ce", "t2")}

    for modality in ("t1ce", "t2"):
        off = moves[modality] @ MOVED[modality].move @ np.linalg.inv(moves["t1"])
        centre = np.array([-80.0, 90.0, 80.0, 1.0])
        assert np.linalg.norm((off @ centre - centre)[:3]) < VOXEL_MM / 2
        assert np.degrees(np.arccos(np.clip((np.trace(off[:3, :3]) - 1) / 2, -1, 1))) < 2
    scans = [nib.load(path) for path in sorted((folder.prepared.path / name).glob("*.nii.gz"))]
    assert len(scans) == 4
    assert {scan.shape for scan in scans} == {SHAPE}


@pytest.mark.slow
def test_a_head_that_was_scanned_in_part_gets_a_flag_and_no_brain_beyond_the_field(
    params: Params, key: None, tmp_path: Path
) -> None:
    """Every series lacks the lowest third of its slices."""
    write_study(tmp_path / "scanner", shape=SHAPE, voxel_mm=VOXEL_MM)
    for series in (tmp_path / "scanner").iterdir():
        for path in sorted(series.glob("*.dcm"), key=lambda one: pydicom.dcmread(one).ImagePositionPatient[2])[:12]:
            path.unlink()
    ws, folder = Workspace(tmp_path), StudyFolder(tmp_path / "study")
    study_convert.run(ws, params, study=folder.path, source=tmp_path / "scanner")

    report = study_prepare.run(ws, params, study=folder.path)

    assert "% of the brain was not scanned" in str(report)
    (flag,) = read(folder.prepared.preparation)["flags"]
    assert 10 < int(flag.partition("%")[0]) < 60
    array = np.asarray(nib.load(next(folder.prepared.path.rglob("*t1.nii.gz"))).dataobj)
    assert np.flatnonzero(array.any(axis=(0, 1))).min() >= 11


def test_the_label_map_returns_to_the_grid_of_each_series(whole: tuple[Workspace, StudyFolder]) -> None:
    folder = whole[1]
    volumes = read(folder.restored.volumes)

    for modality in MOVED:
        native, labels = nib.load(folder.native.modality(modality)), nib.load(folder.restored.labels(modality))
        assert labels.shape == native.shape
        np.testing.assert_allclose(labels.affine, native.affine, atol=1e-4)
        found, space = volumes["native_mm3"][modality]["WT"], volumes["space_mm3"]["WT"]
        assert found == pytest.approx((np.asarray(labels.dataobj) != 0).sum() * abs(np.linalg.det(native.affine)))
        assert volumes["difference_percent"][modality]["WT"] == pytest.approx(100 * (found / space - 1), abs=0.01)
        assert abs(volumes["difference_percent"][modality]["WT"]) < 15  # of 5 and 10 mm


def test_the_segmentation_has_each_voxel_where_the_label_map_has_it(whole: tuple[Workspace, StudyFolder]) -> None:
    """Two readers: nibabel reads the label map, and the elements of the standard give the position of each frame."""
    folder = whole[1]

    labels = labels_by_position(folder.restored.labels("t1ce").path)

    assert len(set(labels.values())) == 3
    assert segments_by_position(folder.export.segmentation.path) == {
        place: STORED[value] for place, value in labels.items()
    }


def test_highdicom_reads_the_same_segmentation(whole: tuple[Workspace, StudyFolder]) -> None:
    folder = whole[1]
    seg = highdicom.seg.segread(folder.export.segmentation)
    volume = seg.get_volume(combine_segments=True)
    labels = labels_by_position(folder.restored.labels("t1ce").path)
    places = np.array(list(labels)) / 10 * [-1, -1, 1]

    at = np.rint(nib.affines.apply_affine(np.linalg.inv(volume.affine), places)).astype(int)

    assert [int(volume.array[tuple(one)]) for one in at] == [STORED[value] for value in labels.values()]
    assert int((volume.array != 0).sum()) == len(labels)
    meanings = [seg.get_segment_description(number).segmented_property_type.meaning for number in (1, 2, 3)]
    assert meanings == ["Necrosis", "Edema", "Enhancing Lesion"]


def test_the_objects_belong_to_the_patient_and_name_their_model(whole: tuple[Workspace, StudyFolder]) -> None:
    folder = whole[1]
    source = pydicom.dcmread(next(folder.dicom.path.glob("*.dcm")))
    prediction = read(folder.predictions.path / read(folder.native.series)["study"] / "prediction.json")

    for made in folder.export.objects():
        dataset = pydicom.dcmread(made)
        for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "AccessionNumber"):
            assert dataset.get(keyword) == source.get(keyword)
        assert "PatientComments" not in dataset
        assert "ImageComments" not in dataset
        assert prediction["labels"] in str(dataset.ContributingEquipmentSequence)
        assert "brats-segmentation version 2" in str(dataset.ContributingEquipmentSequence)


def test_the_report_has_the_volume_of_each_segment(whole: tuple[Workspace, StudyFolder]) -> None:
    folder = whole[1]
    labels = nib.load(folder.restored.labels("t1ce"))
    report = highdicom.sr.srread(folder.export.report)
    groups = report.content.get_volumetric_roi_measurement_groups()

    found = {group.tracking_identifier: float(group.get_measurements()[0].value) for group in groups}

    voxel = abs(np.linalg.det(labels.affine))
    array = np.asarray(labels.dataobj)
    for name, value in {"NCR": 1, "ED": 2, "ET": 4}.items():
        assert found[name] == pytest.approx((array == value).sum() * voxel)
    text = str(report)
    assert "A person should look at it" in text
    assert "Whole tumour" in text


def test_equal_predictions_become_equal_bytes(
    whole: tuple[Workspace, StudyFolder], params: Params, key: None, tmp_path: Path
) -> None:
    ws, folder = whole
    again = StudyFolder(shutil.copytree(folder.path, tmp_path / "again"))
    before = {made.path.name: made.path.read_bytes() for made in folder.export.objects()}
    shutil.rmtree(again.export.path)

    study_export.run(ws, params, study=again.path)

    assert {made.path.name: made.path.read_bytes() for made in again.export.objects()} == before


def test_a_label_map_segmentation_has_the_same_voxels(
    whole: tuple[Workspace, StudyFolder], make_params: Callable[[dict[str, Any]], Params], key: None, tmp_path: Path
) -> None:
    ws, folder = whole
    again = StudyFolder(shutil.copytree(folder.path, tmp_path / "again"))

    study_export.run(ws, make_params({"study.export.kind": "LABELMAP"}), study=again.path)

    assert pydicom.dcmread(again.export.segmentation).SegmentationType == "LABELMAP"
    assert segments_by_position(again.export.segmentation.path) == segments_by_position(folder.export.segmentation.path)


def test_a_label_map_on_another_grid_is_refused_and_the_objects_stay(
    whole: tuple[Workspace, StudyFolder], params: Params, key: None, tmp_path: Path
) -> None:
    ws, folder = whole
    again = StudyFolder(shutil.copytree(folder.path, tmp_path / "again"))
    labels = nib.load(again.restored.labels("t1ce"))
    nib.save(nib.Nifti1Image(np.asarray(labels.dataobj)[1:], labels.affine), again.restored.labels("t1ce"))
    before = {made.path.name: made.path.read_bytes() for made in folder.export.objects()}

    with pytest.raises(SourceError, match=r"label map of series 2: is on another grid .*brats study restore"):
        study_export.run(ws, params, study=again.path)

    assert {made.path.name: made.path.read_bytes() for made in again.export.objects()} == before


def test_a_label_that_the_table_lacks_is_refused_and_the_objects_stay(
    whole: tuple[Workspace, StudyFolder], params: Params, key: None, tmp_path: Path
) -> None:
    ws, folder = whole
    again = StudyFolder(shutil.copytree(folder.path, tmp_path / "again"))
    labels = nib.load(again.restored.labels("t1ce"))
    array = np.array(labels.dataobj)
    array[0, 0, 0] = 7
    nib.save(nib.Nifti1Image(array, labels.affine), again.restored.labels("t1ce"))

    with pytest.raises(
        SourceError, match=r"t1ce.nii.gz: is no label map of this prediction .label values 7 .*brats study restore"
    ):
        study_export.run(ws, params, study=again.path)

    assert len(list(again.export.path.iterdir())) == 3


def test_objects_of_another_study_in_the_folder_are_kept(
    whole: tuple[Workspace, StudyFolder], params: Params, key: None, tmp_path: Path
) -> None:
    ws, folder = whole
    again = StudyFolder(shutil.copytree(folder.path, tmp_path / "again"))
    other = pydicom.dcmread(again.export.report.path)
    other.StudyInstanceUID = "1.2.9"
    other.save_as(again.export.report.path)
    before = again.export.report.path.read_bytes()

    with pytest.raises(SourceError, match="holds results of another study"):
        study_export.run(ws, params, study=again.path)

    assert again.export.report.path.read_bytes() == before


def test_a_source_series_that_is_gone_is_named(
    whole: tuple[Workspace, StudyFolder], params: Params, key: None, tmp_path: Path
) -> None:
    ws, folder = whole
    again = StudyFolder(shutil.copytree(folder.path, tmp_path / "again"))
    for path in again.dicom.path.rglob("*.dcm"):
        if pydicom.dcmread(path, specific_tags=["SeriesNumber"]).SeriesNumber == 2:
            path.unlink()

    with pytest.raises(SourceError, match="lacks series 2, which was T1ce"):
        study_export.run(ws, params, study=again.path)


def test_a_study_that_is_prepared_is_not_prepared_again(
    whole: tuple[Workspace, StudyFolder], params: Params, key: None
) -> None:
    ws, folder = whole
    before = folder.prepared.preparation.path.stat().st_mtime_ns

    report = study_prepare.run(ws, params, study=folder.path)

    assert "prepared already" in str(report)
    assert folder.prepared.preparation.path.stat().st_mtime_ns == before
