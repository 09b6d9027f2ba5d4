"""The objects that go back to the scanner, read by libraries that did not write them."""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from brats_ml.actions import study_convert
from brats_ml.adapters.dicom.capture import capture
from brats_ml.adapters.dicom.extra import silent
from brats_ml.adapters.dicom.headers import read_study
from brats_ml.adapters.dicom.measurements import report
from brats_ml.adapters.dicom.objects import Origin, deriving, refuse_other_study, write
from brats_ml.adapters.dicom.segmentation import segmentation
from brats_ml.adapters.dicom.source_series import SourceSeries, in_frames, open_series
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.cohort.coded_terms import LABEL_TERMS
from brats_ml.cohort.label_table import VALUES
from brats_ml.config import Params
from brats_ml.errors import SourceError
from brats_ml.reports.panels import COLOURS
from brats_ml.workspace import Workspace
from brats_ml.workspace.study import StudyFolder
from tests.environments import python_or_skip
from tests.phantom_study import PROTOCOLS, rigid, write_series, write_study

SHAPE = (20, 16, 9)
SEGMENTS = {"NCR": 1, "ED": 2, "ET": 3}
ORIGIN = Origin("brats-segmentation version 2", "d" * 64, "c" * 64, "b" * 64, "a" * 64, "1.2.3")
ELEMENTS = {
    "StudyInstanceUID": "1.2.3",
    "SeriesInstanceUID": "1.2.3.1",
    "FrameOfReferenceUID": "1.2.4",
    "SeriesNumber": 7,
    "PatientName": "Phantom^0",
    "PatientID": "PHANTOM0",
}
CHECKER = shutil.which("dciodvfy")
Kind = Literal["BINARY", "LABELMAP"]
Placed = dict[tuple[int, ...], int]


def grid(directions: list[list[int]], spacing_mm: list[float]) -> NDArray[np.float64]:
    """Return an affine (RAS, mm) from the directions of columns, rows and slices."""
    affine = np.eye(4)
    affine[:3, :3] = np.array(directions).T * spacing_mm
    affine[:3, 3] = [-30.5, 40.25, -12.125]
    return affine


AXIAL = [[-1, 0, 0], [0, -1, 0], [0, 0, 1]]
SERIES = {
    "axial": grid(AXIAL, [1, 1.25, 3]),
    "thick slices": grid(AXIAL, [1, 1, 6.5]),
    "oblique": rigid((17, -9, 24), (3, 4, 5)) @ grid(AXIAL, [0.9, 0.9, 2]),
    "sagittal": grid([[0, -1, 0], [0, 0, -1], [-1, 0, 0]], [1, 1, 1.2]),
    "oblique coronal": rigid((5, 3, -8), (0, 0, 0)) @ grid([[-1, 0, 0], [0, 0, -1], [0, 1, 0]], [0.8, 0.8, 4]),
}


def lesion() -> NDArray[np.uint8]:
    """Return a label map that no flip and no swap of axes maps to itself."""
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[2:7, 3:9, 2:5] = 2
    labels[3:5, 4:6, 3] = 1
    labels[5:7, 7, 2:7] = labels[12, 1, 8] = 3
    return labels


def placed(array: NDArray[Any], affine: NDArray[np.float64]) -> Placed:
    """Return the label of every labelled voxel by its position (RAS) in tenths of a mm."""
    voxels = np.argwhere(array)
    places = np.rint(10 * nib.affines.apply_affine(affine, voxels)).astype(int)
    return {tuple(place): int(array[tuple(voxel)]) for place, voxel in zip(places, voxels, strict=True)}


def series(folder: Path, affine: NDArray[np.float64], change: Callable[[Any], None] = lambda header: None) -> Path:
    """Write a series, each header of it changed."""
    volume = (100 + np.arange(np.prod(SHAPE)).reshape(SHAPE) % 500).astype(np.int16)
    write_series(folder, volume, affine, ELEMENTS)
    for path in folder.iterdir():
        header = pydicom.dcmread(path)
        change(header)
        header.save_as(path)
    return folder


def opened(folder: Path) -> SourceSeries:
    with silent():
        return open_series(read_study(folder).series[0])


def export(
    source: SourceSeries,
    affine: NDArray[np.float64],
    folder: Path,
    *,
    kind: Kind = "BINARY",
    labels: NDArray[np.uint8] | None = None,
) -> dict[str, Path]:
    """Write all three objects."""
    array = lesion() if labels is None else labels
    with silent():
        frames = in_frames(array, VoxelGrid(array.shape, affine), source)
        segmented = segmentation(frames, source, ORIGIN, labels=SEGMENTS, colours=COLOURS, kind=kind)
        volumes = {"NCR": 4.0, "ED": 80.5, "ET": 11.25, "WT": 95.75, "TC": 15.25}
        measured = report(
            segmented, source, ORIGIN, labels=list(SEGMENTS), volumes_mm3=volumes, score=0.83, review=True,
            intervals_mm3={"WT": {"low": 90.0, "high": 100.0}}, remarks=["expected mean Dice 0.83"],
        )  # fmt: skip
        picture = capture(np.full((40, 90, 3), 70, dtype=np.uint8), source, ORIGIN)
    made = {"seg": segmented, "sr": measured, "capture": picture}
    for name, found in made.items():
        write(found, folder / f"{name}.dcm")
    return {name: folder / f"{name}.dcm" for name in made}


def read_by_pydicom(path: Path) -> Placed:
    """Decode a segmentation by the elements of the standard alone."""
    seg, found = pydicom.dcmread(path), {}
    shared = seg.SharedFunctionalGroupsSequence[0]
    across, down = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    rows_mm, columns_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    for frame, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        start = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        for row, column in np.argwhere(frame):
            place = (start + across * columns_mm * column + down * rows_mm * row) * [-1, -1, 1]
            number = int(frame[row, column])
            if seg.SegmentationType == "BINARY":
                number = int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
            found[tuple(np.rint(10 * place).astype(int))] = number
    return found


def read_by_highdicom(path: Path) -> Placed:
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    return placed(volume.array, np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine)


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("name", SERIES)
def test_two_readers_find_each_voxel_at_its_position(name: str, kind: Kind, tmp_path: Path) -> None:
    affine = SERIES[name]
    made = export(opened(series(tmp_path / "series", affine)), affine, tmp_path, kind=kind)

    assert read_by_pydicom(made["seg"]) == placed(lesion(), affine)
    assert read_by_highdicom(made["seg"]) == placed(lesion(), affine)


@pytest.mark.skipif(CHECKER is None, reason="dciodvfy is not installed: apt install dicom3tools")
@pytest.mark.parametrize("name", SERIES)
def test_each_object_conforms_to_the_standard(name: str, tmp_path: Path) -> None:
    """By dciodvfy, whose edition of 2022 does not know segmentations of the kind LABELMAP yet."""
    affine = SERIES[name]
    made = export(opened(series(tmp_path / "series", affine)), affine, tmp_path, kind="BINARY")

    for path in made.values():
        done = subprocess.run([str(CHECKER), str(path)], capture_output=True, text=True, timeout=100, check=False)
        found = done.stderr.splitlines()
        assert [line for line in found if line.startswith("Error")] == []
        assert all("99BRATSML" in line for line in found if line.startswith("Warning")), found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("name", SERIES)
def test_dcmqi_finds_each_voxel_at_its_position(name: str, kind: Kind, tmp_path: Path) -> None:
    program = python_or_skip("dcmqi").with_name("segimage2itkimage")
    affine = SERIES[name]
    made = export(opened(series(tmp_path / "series", affine)), affine, tmp_path, kind=kind)

    (tmp_path / "out").mkdir()
    command = ["--inputDICOM", str(made["seg"]), "--outputDirectory", str(tmp_path / "out"), "-t", "nii"]
    subprocess.run([str(program), *command, "--mergeSegments"], check=True, capture_output=True, timeout=100)

    (image,) = (nib.load(path) for path in (tmp_path / "out").glob("*.nii.gz"))
    assert placed(np.asarray(image.dataobj), image.affine) == placed(lesion(), affine)


@pytest.mark.slow
def test_dcmqi_reads_the_volumes_of_the_report(tmp_path: Path) -> None:
    program = python_or_skip("dcmqi").with_name("tid1500reader")
    made = export(opened(series(tmp_path / "series", SERIES["axial"])), SERIES["axial"], tmp_path)

    command = [str(program), "--inputDICOM", str(made["sr"]), "--outputMetadata", str(tmp_path / "sr.json")]
    subprocess.run(command, check=True, capture_output=True, timeout=100)

    groups = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    volumes = {one["TrackingIdentifier"]: float(one["measurementItems"][0]["value"]) for one in groups}
    assert {name: volumes[name] for name in ("NCR", "ED", "ET")} == {"NCR": 4.0, "ED": 80.5, "ET": 11.25}
    segment = pydicom.dcmread(made["seg"], stop_before_pixels=True)
    assert {one.get("segmentationSOPInstanceUID", segment.SOPInstanceUID) for one in groups} == {segment.SOPInstanceUID}


def test_the_report_has_intervals_quality_and_remarks(tmp_path: Path) -> None:
    made = export(opened(series(tmp_path / "series", SERIES["axial"])), SERIES["axial"], tmp_path)

    said = [str(element.value) for element in pydicom.dcmread(made["sr"]).iterall()]

    for text in ("95.75", "5.75", "4.25", "0.83", "expected mean Dice 0.83", "A person should look at it"):
        assert text in said


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("name", ["oblique", "sagittal"])
def test_an_enhanced_image_has_its_results_whatever_the_order_of_its_frames(
    name: str, kind: Kind, tmp_path: Path
) -> None:
    affine = SERIES[name]
    slices = [pydicom.dcmread(path) for path in sorted(series(tmp_path / "slices", affine).iterdir())]
    with silent():
        enhanced = highdicom.legacy.LegacyConvertedEnhancedMRImage(
            [slices[at] for at in (4, 1, 0, 8, 2, 7, 3, 6, 5)], "1.2.3.9", 9, "1.2.3.9.1", 1,
        )  # fmt: skip
    (tmp_path / "series").mkdir()
    enhanced.save_as(tmp_path / "series/enhanced.dcm")

    made = export(opened(tmp_path / "series"), affine, tmp_path, kind=kind)

    assert read_by_pydicom(made["seg"]) == placed(lesion(), affine)
    assert read_by_highdicom(made["seg"]) == placed(lesion(), affine)


def merge(folder: Path) -> None:
    """Replace the slices of a series by one enhanced image with the elements that its modality is known by."""
    slices = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    with silent():
        enhanced = highdicom.legacy.LegacyConvertedEnhancedMRImage(slices, slices[0].SeriesInstanceUID, 2, "1.2.9", 1)
    for keyword in ("SeriesDescription", "EchoTime", "RepetitionTime", "InversionTime", "ContrastBolusAgent"):
        if keyword in slices[0]:
            setattr(enhanced, keyword, slices[0].get(keyword))
    shutil.rmtree(folder)
    folder.mkdir()
    enhanced.save_as(folder / "enhanced.dcm")


def test_a_converted_volume_is_in_stored_frames_what_the_scanner_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_params: Callable[[dict[str, Any]], Params]
) -> None:
    """The intensities show that results land on the pixels that the volume came from, single slices or enhanced."""
    (tmp_path / "key").write_bytes(bytes(range(32)))
    monkeypatch.setenv("BRATS_PSEUDONYM_KEY_FILE", str(tmp_path / "key"))
    tilted, thick = rigid((-6, 3, 10), (-5, 8, 4)), PROTOCOLS["t2"]
    protocols = PROTOCOLS | {
        "t1ce": replace(PROTOCOLS["t1ce"], move=tilted),
        "t2": replace(thick, thickness=3, move=tilted),
    }
    write_study(tmp_path / "scanner", protocols=protocols, shape=(32, 36, 30))
    merge(tmp_path / "scanner/02")
    folder = StudyFolder(tmp_path / "checkout/study")
    study_convert.run(Workspace(tmp_path / "checkout"), make_params({}), study=folder.path, source=tmp_path / "scanner")

    numbers = json.loads(Path(folder.native.series).read_text())["modalities"]
    for found in read_study(Path(folder.dicom)).series:
        modality = next(name for name, number in numbers.items() if number == found.facts.number)
        volume = nib.load(folder.native.modality(modality))
        frames = in_frames(np.asarray(volume.dataobj), VoxelGrid(volume.shape, volume.affine), open_series(found))
        sent = [pydicom.dcmread(path).pixel_array for path in found.files]
        np.testing.assert_array_equal(frames, sent[0] if modality == "t1ce" else np.stack(sent))


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_a_prediction_without_tumour_is_a_segmentation_without_voxels(kind: Kind, tmp_path: Path) -> None:
    source = opened(series(tmp_path / "series", SERIES["axial"]))
    made = export(source, SERIES["axial"], tmp_path, kind=kind, labels=np.zeros(SHAPE, np.uint8))

    assert read_by_pydicom(made["seg"]) == read_by_highdicom(made["seg"]) == {}


def test_other_voxels_or_another_kind_are_other_objects(tmp_path: Path) -> None:
    """An identifier of DICOM names one content for ever; a node keeps the first and drops the second."""
    source = opened(series(tmp_path / "series", SERIES["axial"]))
    fewer = np.where(lesion() == 3, 0, lesion()).astype(np.uint8)
    made = [
        export(source, SERIES["axial"], tmp_path / "one"),
        export(source, SERIES["axial"], tmp_path / "two", kind="LABELMAP"),
        export(source, SERIES["axial"], tmp_path / "three", labels=fewer),
    ]

    for name in ("seg", "sr"):
        assert len({pydicom.dcmread(one[name]).SOPInstanceUID for one in made}) == 3


def plant(header: Any) -> None:
    block = header.private_block(0x29, "CANARY CREATOR", create=True)
    block.add_new(0x10, "LO", "CANARY PRIVATE")
    for keyword in (
        "PatientComments", "ImageComments", "SeriesDescription", "ProtocolName", "AdmittingDiagnosesDescription",
        "Occupation", "MedicalAlerts", "PatientState", "ReasonForVisit", "AdditionalPatientHistory", "StationName",
        "InstitutionName", "PerformedProcedureStepDescription", "PatientTelephoneNumbers", "OperatorsName",
    ):  # fmt: skip
        setattr(header, keyword, "CANARY TEXT"[:16])


def test_private_elements_and_free_text_are_not_copied(tmp_path: Path) -> None:
    made = export(opened(series(tmp_path / "series", SERIES["axial"], plant)), SERIES["axial"], tmp_path)

    for path in made.values():
        assert b"CANARY" not in path.read_bytes()
        assert not [element for element in pydicom.dcmread(path).iterall() if element.tag.is_private]


@pytest.mark.parametrize(
    ("sets", "name"),
    [
        ("ISO_IR 100", "Müller^Zoë"),
        ("ISO_IR 144", "Люксембург"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Γιώργος^Δ"),
    ],
)
def test_names_keep_their_letters(sets: str | list[str], name: str, tmp_path: Path) -> None:
    def rename(header: Any) -> None:
        header.SpecificCharacterSet, header.PatientName = sets, name

    made = export(opened(series(tmp_path / "series", SERIES["axial"], rename)), SERIES["axial"], tmp_path)

    assert {str(pydicom.dcmread(path).PatientName) for path in made.values()} == {name}


def test_a_pseudonymised_study_without_dates_and_identity_is_exported(tmp_path: Path) -> None:
    def strip(header: Any) -> None:
        for keyword in (
            "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
            "StudyTime", "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "ReferringPhysicianName",
            "Manufacturer", "SliceThickness", "SpacingBetweenSlices", "SpecificCharacterSet", "PatientPosition",
        ):  # fmt: skip
            delattr(header, keyword)

    affine = SERIES["oblique"]
    made = export(opened(series(tmp_path / "series", affine, strip)), affine, tmp_path)

    assert read_by_highdicom(made["seg"]) == placed(lesion(), affine)
    assert {pydicom.dcmread(path).ContentDate for path in made.values()} == {"19000101"}


def test_the_capture_claims_no_orientation_of_its_three_planes(tmp_path: Path) -> None:
    made = export(opened(series(tmp_path / "series", SERIES["axial"])), SERIES["axial"], tmp_path)

    picture = pydicom.dcmread(made["capture"])

    assert not picture.PatientOrientation
    assert picture.BurnedInAnnotation == "NO"
    assert "not for diagnosis" in picture.SeriesDescription
    assert (picture.pixel_array == 70).all()


def test_a_series_without_frame_of_reference_is_refused(tmp_path: Path) -> None:
    folder = series(tmp_path / "series", SERIES["axial"], lambda header: delattr(header, "FrameOfReferenceUID"))

    with pytest.raises(SourceError, match="series 7: has no frame of reference"):
        opened(folder)


def test_an_enhanced_image_of_two_volumes_is_refused(tmp_path: Path) -> None:
    slices = [pydicom.dcmread(path) for path in sorted(series(tmp_path / "slices", SERIES["axial"]).iterdir())]
    with silent():
        enhanced = highdicom.legacy.LegacyConvertedEnhancedMRImage(slices, "1.2.3.9", 9, "1.2.3.9.1", 1)
    frames = enhanced.PerFrameFunctionalGroupsSequence
    frames[1].PlanePositionSequence = frames[0].PlanePositionSequence
    (tmp_path / "series").mkdir()
    enhanced.save_as(tmp_path / "series/enhanced.dcm")

    with pytest.raises(SourceError, match="series 9: is not one volume"):
        opened(tmp_path / "series")


def test_a_header_that_breaks_the_standard_is_refused_without_its_text() -> None:
    with pytest.raises(SourceError, match="series 7: has a header that breaks the standard") as caught, deriving(7):
        raise ValueError("the value Canary^Tweety is too long")

    assert "Canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_objects_of_another_study_are_not_replaced(tmp_path: Path) -> None:
    export(opened(series(tmp_path / "series", SERIES["axial"])), SERIES["axial"], tmp_path / "out")

    refuse_other_study(tmp_path / "out", "1.2.3")
    refuse_other_study(tmp_path / "nothing", "1.2.3")
    with pytest.raises(SourceError, match="holds results of another study; move it away"):
        refuse_other_study(tmp_path / "out", "1.2.9")


def test_each_label_has_a_term_that_names_its_scheme() -> None:
    """Terms of the standard are in its context groups; own ones say so by their scheme."""
    known = {"6574001", "79654002", "C113842", "367643001"}

    assert set(LABEL_TERMS) == set(VALUES)
    for term in LABEL_TERMS.values():
        assert (term.value in known) != term.scheme.startswith("99")
        assert len(term.meaning) <= 64
