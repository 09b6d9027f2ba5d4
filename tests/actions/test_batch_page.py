"""The page of a batch: what it shows, what it writes again, and what it leaves alone."""

import json
import re
import shutil
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from gzip import decompress
from html import unescape
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from brats_ml.actions import batch_page, prediction_table
from brats_ml.actions.page_volumes import key_of
from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.config import Params
from brats_ml.errors import StorageError
from brats_ml.models.prediction_folders import read_record
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PredictionsFolder
from tests.page_requests import outside_addresses
from tests.predictions import predict_by_reference

WORST, GOOD, UNKNOWN = "BraTS20_Training_501", "BraTS20_Training_502", "BraTS20_Training_503"
INTERVAL = {"WT": {"low": 1000.0, "high": 2000.0, "coverage": 0.9}}
RECORDS: dict[str, dict[str, Any]] = {
    WORST: {
        "qc": {"score": 0.31, "reasons": ["the copies disagree"], "review": True, "volume_intervals_mm3": INTERVAL}
    },
    GOOD: {"qc": {"score": 0.93, "reasons": [], "review": False, "volume_intervals_mm3": None}},
}


@pytest.fixture(scope="module")
def made(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> PredictionsFolder:
    """The page of a cohort of phantoms. Read only."""
    target = PredictionsFolder(tmp_path_factory.mktemp("page") / "predictions")
    predict_by_reference(target, cohort, RECORDS)
    batch_page.write_page(target)
    return target


@pytest.fixture
def target(made: PredictionsFolder, tmp_path: Path) -> PredictionsFolder:
    """A copy, which the test may change."""
    shutil.copytree(made.path, tmp_path / "predictions")
    return PredictionsFolder(tmp_path / "predictions")


def known(target: PredictionsFolder) -> list[dict[str, Any]]:
    page = target.page.path.read_text()
    found = re.search(r'<script type="application/json" id="known">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    cases: list[dict[str, Any]] = json.loads(found[1])["cases"]
    return cases


def shown(target: PredictionsFolder, case_id: str) -> dict[str, Any]:
    return next(case for case in known(target) if case["case_id"] == case_id)


def volume(target: PredictionsFolder, case_id: str, name: str) -> tuple[bytes, list[int]]:
    """The file in a script of the page, and where it starts in the grid of the label map."""
    script = target.page_files.script(shown(target, case_id)["key"], name).read_text()
    found = re.fullmatch(r'brats\.receive\("\w+", "\w+", "([^"]+)", (\[.*\])\);\n', script)
    assert found is not None
    return b64decode(found[1]), json.loads(found[2])


def states(target: PredictionsFolder) -> dict[str, tuple[int, int]]:
    files = [target.page.path, *target.page_files.path.rglob("*")]
    return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files if path.is_file()}


def test_the_worst_case_comes_first_and_cases_without_qc_come_last(made: PredictionsFolder) -> None:
    order = [case["case_id"] for case in known(made)]
    rows = [unescape(name) for name in re.findall(r'class="open">(.*?)</button>', made.page.path.read_text())]
    assert order[:2] == [WORST, GOOD]
    assert rows == order
    assert len(order) == 6


def test_the_label_map_of_the_page_is_the_file_of_the_prediction(made: PredictionsFolder) -> None:
    stored, start = volume(made, WORST, "labels")
    assert stored == made.case(WORST).labels(WORST).read_bytes()
    assert start == []


def test_a_scan_of_the_page_has_its_voxels_where_they_are_in_the_scanner(made: PredictionsFolder, cohort: Path) -> None:
    stored, start = volume(made, WORST, "t1ce")
    image = nib.Nifti1Image.from_bytes(decompress(stored))
    scan = read_volume(cohort / WORST / f"{WORST}_t1ce.nii.gz")
    box = tuple(slice(first, first + size) for first, size in zip(start, image.shape, strict=True))
    np.testing.assert_allclose(image.affine[:3, 3], nib.affines.apply_affine(scan.grid.affine, start))
    np.testing.assert_array_equal(np.asarray(image.dataobj) != 0, scan.array[box] != 0)
    outside = scan.array.copy()
    outside[box] = 0
    assert not outside.any()


def test_nothing_is_written_again_when_nothing_changed(target: PredictionsFolder) -> None:
    batch_page.write_page(target)  # the copy has other times than the original
    before = states(target)
    batch_page.write_page(target)
    assert states(target) == before


def test_a_new_prediction_replaces_the_volumes_of_the_old_one(target: PredictionsFolder, cohort: Path) -> None:
    old = shown(target, WORST)["key"]
    kept = shown(target, GOOD)["key"]
    before = states(target)
    (target.case(WORST).labels(WORST)).unlink()
    record = read_record(target.case(GOOD))
    assert record is not None
    predict_by_reference(target, cohort, {WORST: {"provenance": {**record["provenance"], "data": {"t1": "f" * 64}}}})
    batch_page.write_page(target)
    new = shown(target, WORST)
    assert new["key"] != old
    assert not target.page_files.case(old).exists()
    same = target.page_files.script(kept, "t1")
    assert states(target)[str(same)] == before[str(same)]


def test_a_case_without_its_scans_shows_its_label_map_and_says_so(cohort: Path, tmp_path: Path) -> None:
    target, scans = PredictionsFolder(tmp_path / "predictions"), tmp_path / "scans"
    shutil.copytree(cohort, scans)
    predict_by_reference(target, scans, {})
    (scans / WORST / f"{WORST}_t1.nii.gz").write_bytes((scans / GOOD / f"{GOOD}_t1.nii.gz").read_bytes())
    shutil.rmtree(scans / GOOD)
    batch_page.write_page(target)
    assert shown(target, WORST)["scans"] == ["flair", "t1ce", "t2"]
    assert "No picture of t1:" in shown(target, WORST)["note"]
    assert shown(target, GOOD)["scans"] == []
    assert volume(target, GOOD, "labels")[0] == target.case(GOOD).labels(GOOD).read_bytes()
    assert shown(target, UNKNOWN)["note"] == ""


def test_scans_that_went_after_the_page_was_made_stay_on_it(target: PredictionsFolder) -> None:
    target.bookkeeping(WORST).scans.unlink()
    batch_page.write_page(target)
    assert shown(target, WORST)["scans"] == ["flair", "t1", "t1ce", "t2"]


def test_a_refused_case_has_a_row_with_its_reason(target: PredictionsFolder, cohort: Path) -> None:
    record = read_record(target.case(WORST))
    assert record is not None
    target.case(WORST).labels(WORST).unlink()
    from brats_ml.models.prediction_folders import write_record

    refused = {name: record[name] for name in ("case_id", "patient", "provenance")}
    write_record(target.case(WORST), refused | {"status": "refused", "reason": "t1 is cut short"})
    batch_page.write_page(target)
    assert known(target)[-1]["case_id"] == WORST
    assert known(target)[-1]["reason"] == "t1 is cut short"


def test_text_of_others_stays_text(target: PredictionsFolder) -> None:
    from brats_ml.models.prediction_folders import write_record

    record = read_record(target.case(WORST))
    assert record is not None
    hostile = "</script><img src=//there.example/a onerror=alert(1)><!--"
    write_record(target.case(WORST), record | {"patient": hostile, "flags": [hostile], "qc": {"reasons": [hostile]}})
    batch_page.write_page(target)
    page = target.page.path.read_text()
    assert hostile not in page
    assert outside_addresses(page) == []
    assert shown(target, WORST)["patient"] == hostile
    assert page.count("</script>") == page.count("<script")


def test_an_alarm_of_drift_is_at_the_top_and_a_damaged_list_of_batches_stops_no_page(
    target: PredictionsFolder,
) -> None:
    batch = {"model": "m v1", "cases": [WORST], "p_value": 0.01, "shifts": {"t1_p50": 3.0}}
    shown_text = []
    for content in (
        json.dumps({"batches": [batch | {"alarm": True}]}),
        json.dumps({"batches": [batch | {"alarm": True}, batch | {"alarm": False}]}),
        '{"batches"',
    ):
        target.drift.path.write_text(content)
        batch_page.write_page(target)
        shown_text += re.findall(r'<p class="alarm" id="drift">(.*?)</p>', target.page.path.read_text()) or [""]

    assert shown_text[0].startswith("ALARM: 1 new cases differ from the training cases of m v1")
    assert shown_text[1] == ""
    assert "drift.json: is damaged; move it away" in unescape(shown_text[2])


def test_a_page_without_a_viewer_says_what_to_install(
    cohort: Path, tmp_path: Path, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRATS_NIIVUE", str(tmp_path / "nowhere.js"))
    ws = Workspace(tmp_path)
    predict_by_reference(ws.predictions(), cohort, {})
    report = batch_page.run(ws, params)
    page = ws.predictions().page.path.read_text()
    assert "install npm, run <code>make install</code>" in page
    assert "page/niivue.js" not in page
    assert "install npm" in report.summary


def test_the_file_of_the_viewer_is_copied_with_its_licence(
    target: PredictionsFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "viewer.js").write_text("var niivue = {};")
    monkeypatch.setenv("BRATS_NIIVUE", str(tmp_path / "viewer.js"))
    batch_page.write_page(target)
    assert target.page_files.niivue.read_text() == "var niivue = {};"
    assert "Redistribution and use" in target.page_files.licence.read_text()
    assert '<script src="page/niivue.js"></script>' in target.page.path.read_text()


@pytest.mark.parametrize("taken", ["index.html", "page"])
def test_what_has_the_name_of_the_page_is_left_alone(target: PredictionsFolder, taken: str) -> None:
    shutil.rmtree(target.page_files.path)
    target.page.path.unlink()
    (target.path / taken).mkdir()
    (target.path / taken / "prediction.json").write_text("{}")
    with pytest.raises(StorageError, match=f"{taken} exists, and the page of predictions needs the name"):
        batch_page.write_page(target)
    assert (target.path / taken / "prediction.json").read_text() == "{}"


def test_a_case_with_the_name_of_the_page_gets_another_folder(tmp_path: Path) -> None:
    target = PredictionsFolder(tmp_path)
    names = {target.case(name).path.name for name in ("page", "index.html", "predictions.csv", "%page")}
    assert names == {"%page", "%index.html", "%predictions.csv", "%%page"}


def test_pages_that_are_written_at_once_are_whole(cohort: Path, tmp_path: Path) -> None:
    target = PredictionsFolder(tmp_path / "predictions")
    predict_by_reference(target, cohort, {})
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: batch_page.write_page(target), range(4)))
    assert counts == [6] * 4
    assert all(case["scans"] == ["flair", "t1", "t1ce", "t2"] for case in known(target))
    assert not list(target.page_files.path.rglob(".*"))


def test_what_a_killed_process_left_is_no_volume(target: PredictionsFolder) -> None:
    key = shown(target, WORST)["key"]
    half = target.page_files.volumes / f".0-0-0.{key}"
    half.mkdir()
    shutil.rmtree(target.page_files.case(key))
    batch_page.write_page(target)
    assert shown(target, WORST)["scans"] == ["flair", "t1", "t1ce", "t2"]


def test_the_table_and_the_page_are_written_together(cohort: Path, tmp_path: Path, params: Params) -> None:
    ws = Workspace(tmp_path)
    predict_by_reference(ws.predictions(), cohort, RECORDS)
    report = prediction_table.run(ws, params)
    assert report.links["Page"] == ws.predictions().page.path.as_uri()
    assert 'href="predictions.csv"' in ws.predictions().page.path.read_text()


def test_an_older_record_without_data_has_a_key(made: PredictionsFolder) -> None:
    record = read_record(made.case(WORST))
    assert record is not None
    del record["provenance"]["data"]
    assert key_of(record) is not None
