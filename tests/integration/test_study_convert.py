"""Which studies of DICOM are converted, which series stand for a modality, and what is refused by name."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from brats_ml.actions import study_convert
from brats_ml.adapters.dicom.key import pseudonym_key
from brats_ml.config import Params
from brats_ml.errors import BratsError, ConfigError, EmptyCohortError, MissingInputError, SourceError
from brats_ml.workspace import Workspace
from brats_ml.workspace.study import StudyFolder
from tests.phantom_study import PROTOCOLS, Protocol, head, rigid, thick, write_study

SHAPE = (32, 32, 32)


@pytest.fixture
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    (tmp_path / "key").write_bytes(bytes(range(32)))
    monkeypatch.setenv("BRATS_PSEUDONYM_KEY_FILE", str(tmp_path / "key"))
    return Workspace(tmp_path / "checkout")


@pytest.fixture
def scanner(tmp_path: Path) -> Path:
    write_study(tmp_path / "scanner", shape=SHAPE)
    return tmp_path / "scanner"


def convert(ws: Workspace, params: Params, source: Path, **options: Any) -> dict[str, Any]:
    folder = StudyFolder(ws.root / "study")
    study_convert.run(ws, params, study=folder.path, source=source, **options)
    found: dict[str, Any] = json.loads(folder.native.series.path.read_text())
    return found


def change(folder: Path, **elements: Any) -> None:
    """Set elements of all files of a folder; None removes one."""
    for path in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        for keyword, value in elements.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        pydicom.dcmwrite(path, dataset)


def test_the_volumes_have_the_voxels_and_positions_of_the_scanner(
    ws: Workspace, params: Params, tmp_path: Path
) -> None:
    """An oblique, thick series: each voxel is where the headers place it."""
    oblique = PROTOCOLS | {"t2": replace(PROTOCOLS["t2"], thickness=2, move=rigid((20, -10, 15), (5, 5, 5)))}
    affines = write_study(tmp_path / "scanner", protocols=oblique, shape=SHAPE)
    expected, _ = thick(head(0, shape=SHAPE)[0]["t2"], np.eye(4), 2)

    convert(ws, params, tmp_path / "scanner")

    image = nib.load(StudyFolder(ws.root / "study").native.modality("t2"))
    array = np.asarray(image.dataobj)
    for voxel in np.argwhere(expected > 0)[::977]:
        place = nib.affines.apply_affine(affines["t2"], voxel)
        at = nib.affines.apply_affine(np.linalg.inv(image.affine), place)
        np.testing.assert_allclose(at, np.rint(at), atol=1e-3)
        assert array[tuple(np.rint(at).astype(int))] == expected[tuple(voxel)]


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_images_give_the_voxels_of_uncompressed_ones(
    syntax: UID, ws: Workspace, params: Params, scanner: Path, tmp_path: Path
) -> None:
    convert(ws, params, scanner)
    for path in scanner.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax)
        dataset.save_as(path)
    other = Workspace(tmp_path / "other")
    convert(other, params, scanner)

    for modality in PROTOCOLS:
        plain, compressed = (nib.load(StudyFolder(one.root / "study").native.modality(modality)) for one in (ws, other))
        np.testing.assert_array_equal(np.asarray(plain.dataobj), np.asarray(compressed.dataobj))


def test_images_that_the_converter_cannot_unpack_are_refused_with_a_remedy(
    ws: Workspace, params: Params, scanner: Path
) -> None:
    for path in scanner.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        dataset.save_as(path)

    with pytest.raises(SourceError, match=r"series \d.* export it again, uncompressed"):
        convert(ws, params, scanner)


def test_a_study_comes_from_an_archive_too(ws: Workspace, params: Params, scanner: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "study.zip", "w") as archive:
        for path in scanner.rglob("*.dcm"):
            archive.write(path, path.relative_to(scanner))

    assert set(convert(ws, params, tmp_path / "study.zip")["modalities"]) == {"flair", "t1", "t1ce", "t2"}


def test_the_same_study_always_gets_the_same_name_and_another_key_another_one(
    ws: Workspace, params: Params, scanner: Path, tmp_path: Path
) -> None:
    first = convert(ws, params, scanner)["study"]
    second = convert(Workspace(tmp_path / "elsewhere"), params, scanner)["study"]
    (tmp_path / "key").write_bytes(b"another key of 24 bytes.")

    other = convert(Workspace(tmp_path / "third"), params, scanner)["study"]

    assert first == second != other


def test_series_that_are_no_modality_are_left_out(ws: Workspace, params: Params, tmp_path: Path) -> None:
    more = {
        "t1": PROTOCOLS["t1"], "t1ce": PROTOCOLS["t1ce"], "t2": PROTOCOLS["t2"], "flair": PROTOCOLS["flair"],
    }  # fmt: skip
    write_study(tmp_path / "scanner", protocols=more, shape=SHAPE)
    for number, description in enumerate(("localizer", "ep2d_diff b1000 TRACEW", "SWI", "T1 sub", "DSC perfusion"), 11):
        write_study(tmp_path / "other", protocols={"t1": Protocol(description, PROTOCOLS["t1"].headers)}, shape=SHAPE)
        change(tmp_path / "other", SeriesNumber=number, SeriesInstanceUID=f"1.2.3.{number}")
        shutil.move(tmp_path / "other/01", tmp_path / f"scanner/{number}")
        shutil.rmtree(tmp_path / "other")

    found = convert(ws, params, tmp_path / "scanner")

    assert found["modalities"] == {"t1": 1, "t1ce": 2, "t2": 3, "flair": 4}
    assert {one["number"]: one["modality"] for one in found["series"] if one["number"] > 10} == dict.fromkeys(
        range(11, 16)
    )


def test_two_t1_of_which_none_says_that_it_has_contrast_are_for_a_person(
    ws: Workspace, params: Params, tmp_path: Path
) -> None:
    twice = PROTOCOLS | {"t1ce": Protocol("T1 TSE axial", PROTOCOLS["t1"].headers)}
    write_study(tmp_path / "scanner", protocols=twice, shape=SHAPE)

    found = convert(ws, params, tmp_path / "scanner")

    folder = StudyFolder(ws.root / "study")
    assert found["unclear"] == [1, 2]
    assert set(found["modalities"]) == {"t2", "flair"}
    assert all(folder.native.picture(number).stat().st_size > 1000 for number in (1, 2))
    assert {path.name for path in folder.native.pictures.iterdir()} == {"series-1.png", "series-2.png"}
    study_convert.run(ws, params, study=folder.path, stated={"t1": 1, "t1ce": 2})
    assert json.loads(folder.native.series.path.read_text())["modalities"] == {"flair": 4, "t1": 1, "t1ce": 2, "t2": 3}


def test_of_two_candidates_the_finer_one_counts(ws: Workspace, params: Params, tmp_path: Path) -> None:
    write_study(tmp_path / "scanner", shape=SHAPE)
    write_study(tmp_path / "thick", protocols={"flair": replace(PROTOCOLS["flair"], thickness=3)}, shape=SHAPE)
    change(tmp_path / "thick", SeriesNumber=9, SeriesInstanceUID="1.2.3.9")
    shutil.move(tmp_path / "thick/01", tmp_path / "scanner/09")

    assert convert(ws, params, tmp_path / "scanner")["modalities"]["flair"] == 4


def gap(folder: Path) -> None:
    sorted((folder / "03").iterdir())[9].unlink()


def another_patient(folder: Path) -> None:
    change(folder / "02", PatientID="someone else")


def another_study(folder: Path) -> None:
    change(folder / "02", StudyInstanceUID="1.2.3")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (gap, "slices are missing: a gap of 6.0 mm where slices are 3.0 mm apart"),
        (lambda folder: change(folder / "03", SpecificCharacterSet="KLINGON"), "its character set is unknown"),
        (lambda folder: change(folder / "03", ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]), "a mosaic; export it"),
        (lambda folder: change(folder / "03", ImagePositionPatient=None), "it lacks positions or voxel sizes"),
        (
            lambda folder: shutil.copytree(folder / "03", folder / "03b") and change_uids(folder / "03b"),
            "it has two slices in the same place",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Unknown encoding:UserWarning")  # of the test, which writes it
def test_a_series_that_cannot_be_converted_is_left_out_by_name(
    damage: Any, reason: str, ws: Workspace, params: Params, scanner: Path
) -> None:
    damage(scanner)

    found = convert(ws, params, scanner)

    assert "t2" not in found["modalities"]
    assert reason in next(one["reason"] for one in found["series"] if one["number"] == 3)


def change_uids(folder: Path) -> None:
    for number, path in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{number}"
        pydicom.dcmwrite(path, dataset)


@pytest.mark.parametrize(
    ("damage", "error", "sentence"),
    [
        (another_patient, SourceError, "holds 2 patients; put each study of a patient into a folder of its own"),
        (another_study, SourceError, "holds 2 studies; put each study"),
        (lambda folder: [shutil.rmtree(path) for path in folder.iterdir()], EmptyCohortError, "holds no MR image"),
        (shutil.rmtree, MissingInputError, "name the folder or the archive of a study with --from"),
    ],
)
def test_a_study_that_is_none_ends_in_one_sentence(
    damage: Any, error: type[BratsError], sentence: str, ws: Workspace, params: Params, scanner: Path
) -> None:
    damage(scanner)

    with pytest.raises(error, match=sentence) as caught:
        convert(ws, params, scanner)

    assert "someone else" not in str(caught.value)
    assert not StudyFolder(ws.root / "study").native.path.exists()


def test_a_damaged_archive_ends_in_one_sentence_and_leaves_nothing(
    ws: Workspace, params: Params, tmp_path: Path
) -> None:
    (tmp_path / "study.zip").write_bytes(b"PK\x03\x04 not really")

    with pytest.raises(SourceError, match="no zip or tar archive, or it is damaged"):
        convert(ws, params, tmp_path / "study.zip")

    assert [path.name for path in (ws.root / "study").iterdir()] == [".lock"]


def test_a_folder_with_a_study_gets_no_second_one(ws: Workspace, params: Params, scanner: Path) -> None:
    convert(ws, params, scanner)

    with pytest.raises(SourceError, match="has a study already; leave out --from"):
        convert(ws, params, scanner)


def test_a_series_that_does_not_exist_is_refused(ws: Workspace, params: Params, scanner: Path) -> None:
    with pytest.raises(ConfigError, match="--series names series 77, and the study has 1, 2, 3, 4"):
        convert(ws, params, scanner, stated={"t1": 77})


def test_a_person_cannot_state_a_series_with_missing_slices(ws: Workspace, params: Params, scanner: Path) -> None:
    gap(scanner)

    with pytest.raises(SourceError, match="series 3: cannot be taken: slices are missing"):
        convert(ws, params, scanner, stated={"t2": 3})


def test_the_key_is_long_enough_and_outside_the_checkout(
    ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="is inside the checkout: move it elsewhere"):
        pseudonym_key(tmp_path)
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(ConfigError, match="has fewer than 16 bytes"):
        pseudonym_key(ws.root)
    monkeypatch.delenv("BRATS_PSEUDONYM_KEY_FILE")
    with pytest.raises(ConfigError, match="make one by `head -c 32 /dev/urandom > FILE`"):
        pseudonym_key(ws.root)
