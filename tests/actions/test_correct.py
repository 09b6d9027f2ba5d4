"""Corrected label maps: what joins the cohort of corrections, what is refused, and that nothing is overwritten."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from brats_ml.actions import correct
from brats_ml.adapters.nifti.volume import read_comments, read_volume
from brats_ml.config import Params
from brats_ml.errors import SourceError
from brats_ml.files import digest_file
from brats_ml.stages import acquire, source, validate
from brats_ml.workspace import Workspace
from tests.predictions import predict_by_reference

CASE, OTHER = "BraTS20_Training_501", "BraTS20_Training_502"
VOXEL = (16, 16, 16)
Change = Callable[[Path], None]


@pytest.fixture
def ws(cohort: Path, tmp_path: Path) -> Workspace:
    ws = Workspace(tmp_path / "ws")
    shutil.copytree(cohort, ws.inbox.path)
    predict_by_reference(ws.predictions(), ws.inbox.path, {})
    return ws


def saved(ws: Workspace, name: str = "one.nii.gz", of: str = CASE, **note: Any) -> Path:
    """A label map as the page saves it, with one voxel changed and the note in its header."""
    labels = ws.predictions().case(of).labels(of)
    image = nib.load(labels)
    array = np.asarray(image.dataobj).copy()
    array[VOXEL] = 4 if array[VOXEL] != 4 else 1
    text = {
        "format": "brats correction 1",
        "case_id": of,
        "reader": "Dr. A",
        "remark": "",
        "saved_at": "2026-01-02T10:00:00Z",
        "prediction_sha256": digest_file(labels),
        "model": "brats-segmentation v3",
    } | note
    return write(ws.root / name, array, image, text)


def write(path: Path, array: np.ndarray[Any, Any], image: Any, note: dict[str, Any] | None) -> Path:
    made = nib.Nifti1Image(array, image.affine, image.header)
    if note is not None:
        made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", json.dumps(note).encode()))
    nib.save(made, path)
    return path


def run(ws: Workspace, *paths: Path) -> dict[str, int]:
    details: dict[str, int] = dict(correct.run(ws, None, label_maps=paths).details)  # type: ignore[arg-type]
    return details


def test_a_correction_joins_the_cohort_with_its_scans(ws: Workspace) -> None:
    assert run(ws, saved(ws)) == {"added": 1}
    folder = ws.corrections().case(CASE)
    own = sorted(path.name for path in folder.path.iterdir())
    assert own == sorted(
        [*(f"{CASE}_{role}.nii.gz" for role in ("flair", "t1", "t1ce", "t2", "seg")), "correction.json"]
    )
    for role in ("flair", "t1", "t1ce", "t2"):
        name = f"{CASE}_{role}.nii.gz"
        assert (folder.path / name).read_bytes() == (ws.inbox.path / CASE / name).read_bytes()
    note = json.loads(folder.note.read_text())
    assert (note["reader"], note["saved_at"], note["changed_voxels"]) == ("Dr. A", "2026-01-02T10:00:00+00:00", 1)
    assert note["synthetic"]  # a phantom, although nobody says so but its name


def test_exactly_the_corrected_voxel_differs_on_the_same_grid(ws: Workspace) -> None:
    run(ws, saved(ws))
    predicted = read_volume(ws.predictions().case(CASE).labels(CASE))
    corrected = read_volume(ws.corrections().case(CASE).volume(f"{CASE}_seg.nii.gz"))
    assert np.argwhere(corrected.array != predicted.array).tolist() == [list(VOXEL)]
    assert corrected.grid.forms == predicted.grid.forms


def test_the_pipeline_reads_the_corrections_as_a_cohort(ws: Workspace, make_params: Callable[..., Params]) -> None:
    run(ws, saved(ws), saved(ws, "two.nii.gz", OTHER))
    run(ws, saved(ws, "newer.nii.gz", saved_at="2026-01-03T10:00:00Z"))
    params = make_params({"acquire.source": str(ws.corrections().path)})
    for stage in (source, acquire, validate):
        stage.run(ws, params)
    manifest = ws.validation.manifest.path.read_text()
    assert (CASE in manifest, OTHER in manifest) == (True, True)
    corrected = read_volume(ws.raw.path / CASE / f"{CASE}_seg.nii.gz").array
    assert (corrected != read_volume(ws.predictions().case(CASE).labels(CASE)).array).sum() == 1


def test_a_newer_correction_leaves_the_earlier_one_whole(ws: Workspace) -> None:
    first = saved(ws, "first.nii.gz", reader="first")
    run(ws, first)
    before = digest_file(ws.corrections().case(CASE).volume(f"{CASE}_seg.nii.gz"))
    run(ws, saved(ws, "second.nii.gz", reader="second", saved_at="2026-01-03T10:00:00Z"))
    assert json.loads(ws.corrections().case(CASE).note.read_text())["reader"] == "second"
    kept = ws.corrections().earlier(CASE, digest_file(first)[:16])
    assert json.loads(kept.note.read_text())["reader"] == "first"
    assert digest_file(kept.volume(f"{CASE}_seg.nii.gz")) == before


def test_an_older_correction_does_not_take_the_place_of_a_newer_one(ws: Workspace) -> None:
    run(ws, saved(ws, "new.nii.gz", reader="new", saved_at="2026-01-03T10:00:00Z"))
    older = saved(ws, "old.nii.gz", reader="old")
    assert run(ws, older) == {"kept as an earlier one, since a newer one is there": 1}
    assert json.loads(ws.corrections().case(CASE).note.read_text())["reader"] == "new"
    assert run(ws, older) == {"already there": 1}


def test_the_same_correction_again_changes_nothing(ws: Workspace) -> None:
    path = saved(ws)
    run(ws, path)
    before = ws.corrections().case(CASE).path.stat()
    assert run(ws, path) == {"already there": 1}
    assert ws.corrections().case(CASE).path.stat().st_ino == before.st_ino


def _relabelled(path: Path) -> None:
    _edited(path, lambda array: array.__setitem__(VOXEL, 7))


def _edited(path: Path, edit: Callable[[Any], Any]) -> None:
    image, note = nib.load(path), json.loads(read_comments(path)[0])
    array = np.asarray(image.dataobj).copy()
    changed = edit(array)
    header = image.header.copy()
    header.extensions.clear()
    write(path, array if changed is None else changed, nib.Nifti1Image(array, image.affine, header), note)


def _smaller(path: Path) -> None:
    _edited(path, lambda array: array[:-1])


def _moved(path: Path) -> None:
    image, note = nib.load(path), json.loads(read_comments(path)[0])
    affine = image.affine.copy()
    affine[0, 3] += 2
    write(path, np.asarray(image.dataobj), nib.Nifti1Image(np.asarray(image.dataobj), affine), note)


def _anonymous(path: Path) -> None:
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine), path)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:400])


REFUSALS: dict[str, tuple[Change, str]] = {
    "unknown label": (_relabelled, r"label values 7 are not in scheme brats2017-2021"),
    "other shape": (_smaller, r"its grid has 31 x 32 x 32 voxels, and that of the scans has 32 x 32 x 32"),
    "other place": (_moved, r"its grid is up to 2\.00 mm away from that of the scans"),
    "no note": (_anonymous, r"it does not say who corrected which prediction"),
    "cut short": (_cut, r"cannot be read"),
    "text": (lambda path: path.write_bytes(b"hello") and None, r"it is not NIfTI"),
}


@pytest.mark.parametrize(("change", "sentence"), REFUSALS.values(), ids=REFUSALS)
def test_a_bad_correction_is_refused_and_the_good_one_is_added(ws: Workspace, change: Change, sentence: str) -> None:
    bad = saved(ws, "bad.nii.gz")
    change(bad)
    with pytest.raises(SourceError, match=f"1 of 2 label map.*bad.nii.gz.*{sentence}"):
        run(ws, bad, saved(ws, "good.nii.gz", OTHER))
    assert not ws.corrections().case(CASE).path.exists()
    assert ws.corrections().case(OTHER).note.exists()


@pytest.mark.parametrize(
    ("note", "sentence"),
    [
        ({"reader": " "}, "names no reader"),
        ({"saved_at": "yesterday"}, "has no time"),
        ({"prediction_sha256": "abc"}, "has no SHA-256"),
        ({"prediction_sha256": "0" * 64}, "which no prediction has"),
        ({"case_id": "../../elsewhere"}, "which no prediction has"),
        ({"case_id": OTHER}, "which no prediction has"),
    ],
)
def test_false_provenance_is_refused(ws: Workspace, note: dict[str, str], sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence):
        run(ws, saved(ws, **note))
    assert [path.name for path in ws.corrections().path.iterdir()] == [".lock"]


def test_scans_that_changed_since_are_not_paired_with_the_correction(ws: Workspace) -> None:
    path = saved(ws)
    shutil.copyfile(ws.inbox.path / OTHER / f"{OTHER}_t1.nii.gz", ws.inbox.path / CASE / f"{CASE}_t1.nii.gz")
    with pytest.raises(SourceError, match="its scans are not where they were when it was scored, or they changed"):
        run(ws, path)
    assert not ws.corrections().case(CASE).path.exists()


def test_a_folder_of_another_kind_is_left_alone(ws: Workspace) -> None:
    folder = ws.corrections().case(CASE)
    folder.path.mkdir(parents=True)
    (folder.path / "mine.txt").write_text("mine")
    with pytest.raises(SourceError, match="is no correction of brats: move it away"):
        run(ws, saved(ws))
    assert (folder.path / "mine.txt").read_text() == "mine"


def test_a_note_next_to_the_file_counts_where_another_program_dropped_it(ws: Workspace) -> None:
    path = saved(ws)
    note = read_comments(path)[0]
    _anonymous(path)
    path.with_name(f"{path.name}.json").write_text(note)
    assert run(ws, ws.root) == {"added": 1}


def test_a_folder_without_label_maps_is_refused(ws: Workspace, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="has no label map"):
        run(ws, tmp_path)


def test_a_correction_of_an_earlier_prediction_counts(ws: Workspace) -> None:
    path = saved(ws)
    target = ws.predictions()
    shutil.copytree(target.case(CASE).path, target.earlier(CASE, "brats-segmentation-v3-0"))
    shutil.rmtree(target.case(CASE).path)
    assert run(ws, path) == {"added": 1}


@pytest.mark.parametrize("size", [0, -1, 7, 2**31 - 1])
def test_a_damaged_extension_holds_no_text(ws: Workspace, size: int) -> None:
    path = ws.root / "plain.nii"
    image = nib.load(saved(ws))
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header), path)
    stored = bytearray(path.read_bytes())
    stored[352:356] = struct.pack("<i", size)
    path.write_bytes(stored)
    assert read_comments(path) == []
