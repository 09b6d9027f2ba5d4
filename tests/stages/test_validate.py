import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.cohort.cases import Case
from brats_ml.config import Params
from brats_ml.errors import MissingInputError, StorageError
from brats_ml.files import digest_tree, read_json
from brats_ml.imaging.quality.profile import COLUMNS
from brats_ml.stages import validate, validate_page
from brats_ml.workspace import Workspace

BAD = "BraTS20_Training_502"


def volume(ws: Workspace, role: str) -> Path:
    return ws.raw.path / BAD / f"{BAD}_{role}.nii.gz"


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    image = nib.load(path)
    nib.save(nib.Nifti1Image(change(np.asanyarray(image.dataobj)), image.affine), path)


def not_checked(ws: Workspace, reason: str) -> str:
    """Return the row of the validation page that says what was not checked for a reason."""
    text = unescape(ws.validation.page.path.read_text())
    return text.split("What was not checked</h2>")[1].split(reason)[1].split("</tr>")[0]


def test_a_sound_cohort_is_valid_whole(workspace: Workspace, params: Params) -> None:
    report = validate.run(workspace, params)

    cases = read_json(workspace.validation.manifest)["cases"]
    assert [case["case_id"] for case in cases] == [f"BraTS20_Training_50{number}" for number in range(1, 7)]
    assert read_json(workspace.validation.quarantine) == []
    headers = pd.read_csv(workspace.validation.headers)
    assert list(headers.columns) == list(COLUMNS)
    assert len(headers) == 6 * 5
    assert set(headers.loc[headers["modality"] == "seg", "labels"]) == {"0 1 2 4", "0 1 2"}
    assert str(report) == "validate: 6 of 6 cases valid (see data/validation/index.html)"
    page = workspace.validation.page.path
    text = page.read_text()
    assert "0 of 6 cases were quarantined." in text
    assert f"{params.validate_.minimum_brain_ml:.0f} to {params.validate_.maximum_brain_ml:.0f} mL" in text
    assert not list(page.parent.rglob("*.png"))
    links = re.findall(r'href="([^"#]+)"', text)
    assert links
    assert all((page.parent / link).is_file() for link in links)


def test_only_the_first_cases_and_defects_are_drawn(
    workspace: Workspace, params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate_page, "PICTURED_CASES", 1)
    monkeypatch.setattr(validate_page, "PICTURES_PER_CASE", 2)
    for role in ("t1", "t2", "flair"):
        for number in (2, 3):
            rewrite(
                Path(str(volume(workspace, role)).replace("502", f"50{number}")),
                lambda array: (array > 0).astype(np.int16),
            )

    validate.run(workspace, params)

    text = workspace.validation.page.path.read_text()
    first, second = (text.split(f">BraTS20_Training_50{number}</h3>")[1].split("</article>")[0] for number in (2, 3))
    assert first.count("<img") == 2
    assert "a case has at most 2 pictures" in first
    assert "<img" not in second
    assert "only the first 1 cases have pictures" in second


def test_a_record_of_the_manifest_holds_case_grid_and_digest(workspace: Workspace, params: Params) -> None:
    validate.run(workspace, params)

    manifest = read_json(workspace.validation.manifest)
    record = manifest["cases"][0]
    # The usual label set is stated nowhere, as in older versions.
    assert list(manifest) == ["cases"]
    assert "label_set" not in record
    grid, digest = VoxelGrid.from_dict(record.pop("grid")), record.pop("digest")
    assert record.pop("aliases") == []
    assert Case(**record).label == "BraTS20_Training_501/BraTS20_Training_501_seg.nii.gz"
    assert (grid.shape, grid.axes) == ((32, 32, 32), "LPS")
    assert len(digest) == 64


def test_a_bad_case_is_quarantined_and_the_others_go_on(workspace: Workspace, params: Params) -> None:
    volume(workspace, "t1ce").unlink()

    report = validate.run(workspace, params)

    assert read_json(workspace.validation.quarantine) == [
        {"case_id": BAD, "reason": f"{BAD} has no t1ce: add its file, named as the others are"}
    ]
    assert BAD not in {case["case_id"] for case in read_json(workspace.validation.manifest)["cases"]}
    assert str(report) == "validate: 5 of 6 cases valid, 1 quarantined (see data/validation/index.html)"
    assert f"{BAD} t1ce" in not_checked(workspace, "the file is missing")
    assert f"{BAD} t1" in not_checked(workspace, "the case lacks an image to compare it with")


def test_a_case_without_a_label_map_is_valid(workspace: Workspace, params: Params) -> None:
    volume(workspace, "seg").unlink()

    validate.run(workspace, params)

    assert read_json(workspace.validation.manifest)["cases"][1]["label"] is None
    assert BAD in not_checked(workspace, "the case has no label map")


def test_an_equal_cohort_gives_equal_bytes(workspace: Workspace, params: Params) -> None:
    validate.run(workspace, params)
    before = digest_tree(workspace.validation.path)

    validate.run(workspace, params)

    assert digest_tree(workspace.validation.path) == before


def test_the_digest_of_a_case_changes_with_its_files(workspace: Workspace, params: Params) -> None:
    validate.run(workspace, params)
    before = [case["digest"] for case in read_json(workspace.validation.manifest)["cases"]]
    rewrite(volume(workspace, "t1"), lambda array: array + (array > 0).astype(np.int16))

    validate.run(workspace, params)

    after = [case["digest"] for case in read_json(workspace.validation.manifest)["cases"]]
    assert [one != other for one, other in zip(before, after, strict=True)] == [False, True, False, False, False, False]


def test_a_cohort_of_tables_alone_has_an_empty_manifest(workspace: Workspace, params: Params) -> None:
    shutil.rmtree(workspace.raw)
    workspace.raw.path.mkdir()

    report = validate.run(workspace, params)

    assert read_json(workspace.validation.manifest) == {"cases": []}
    assert str(report) == "validate: 0 of 0 cases valid (see data/validation/index.html)"


def test_without_raw_data_the_stage_before_is_named(tmp_path: Path, params: Params) -> None:
    with pytest.raises(MissingInputError, match="run `brats acquire` first"):
        validate.run(Workspace(tmp_path), params)


def test_what_was_found_of_the_same_bytes_is_not_measured_again(workspace: Workspace, params: Params) -> None:
    validate.run(workspace, params)
    found = sorted(workspace.state.examinations.path.glob("*.json"))
    rewrite(volume(workspace, "t1"), lambda array: array + (array > 0).astype(np.int16))

    validate.run(workspace, params)

    assert len(found) == 6
    assert len(set(workspace.state.examinations.path.glob("*.json")) - set(found)) == 1


def test_the_verdict_tells_of_every_rule_who_breaks_it(workspace: Workspace, params: Params) -> None:
    volume(workspace, "t1ce").unlink()

    validate.run(workspace, params)

    verdict = read_json(workspace.validation.verdict)
    rules = {rule.pop("rule"): rule for rule in verdict.pop("rules")}
    assert verdict == {"verdict": "pass", "stops": [], "cases": 6, "valid": 5}
    assert rules["present"]["severity"] == "warning"
    assert rules["present"]["broken_by"] == [f"{BAD}: {BAD} has no t1ce: add its file, named as the others are"]
    assert not any(rule["broken_by"] for name, rule in rules.items() if name != "present")


def test_the_clinical_tables_are_accounted_for(workspace: Workspace, params: Params) -> None:
    validate.run(workspace, params)

    kinds = [entry["kind"] for entry in read_json(workspace.validation.clinical_report)]
    assert kinds == ["clinical", "merged", "mapping"]


def test_one_patient_under_two_names_has_one_name_in_the_manifest(workspace: Workspace, params: Params) -> None:
    """A second examination, called as another release calls the patient; the mapping table knows both names."""
    other = workspace.raw.path / "BraTS19_X_1"
    shutil.copytree(workspace.raw.path / BAD, other)
    for path in other.iterdir():
        copy = path.rename(other / path.name.replace(BAD, "BraTS19_X_1"))
        noise = np.random.default_rng(1).integers(0, 9, (32, 32, 32), dtype=np.int16)
        rewrite(copy, lambda array, noise=noise: array if array.max() <= 4 else np.where(array > 0, array + noise, 0))
    mapping = workspace.tables.path / "name_mapping.csv"
    table = pd.read_csv(mapping, dtype=str, keep_default_na=False)
    table.loc[table["BraTS_2020_subject_ID"] == BAD, "BraTS_2019_subject_ID"] = "BraTS19_X_1"
    table.to_csv(mapping, index=False)

    validate.run(workspace, params)

    records = {case["case_id"]: case for case in read_json(workspace.validation.manifest)["cases"]}
    assert records[BAD]["patient"] == records["BraTS19_X_1"]["patient"] == BAD
    assert records[BAD]["aliases"] == records["BraTS19_X_1"]["aliases"] == ["BraTS19_X_1"]


def test_a_file_that_the_disk_does_not_give_stops_the_stage_and_quarantines_nobody(
    workspace: Workspace, params: Params
) -> None:
    validate.run(workspace, params)
    before, whole = digest_tree(workspace.validation.path), volume(workspace, "t1")
    kept = whole.rename(workspace.root / "kept")
    whole.symlink_to("/proc/self/mem")  # opens, and the kernel refuses to read it

    with pytest.raises(StorageError, match=rf"{whole.name} cannot be read: Input/output error") as raised:
        validate.run(workspace, params)

    assert raised.value.transient
    assert digest_tree(workspace.validation.path) == before
    whole.unlink()
    kept.rename(whole)
    validate.run(workspace, params)
    assert read_json(workspace.validation.quarantine) == []


def test_all_real_cases_are_valid_in_one_folder(real_data: Path, tmp_path: Path, params: Params) -> None:
    ws = Workspace(tmp_path)
    ws.raw.path.parent.mkdir(parents=True)
    ws.raw.path.symlink_to(real_data)
    ws.tables.path.mkdir()

    validate.run(ws, params)

    assert read_json(ws.validation.quarantine) == []
    headers = pd.read_csv(ws.validation.headers)
    assert len(headers) == 19 * 5
    # Read off the files: only this case has negative intensities, and it is allowed to.
    assert set(headers.loc[headers["negative_share"] > 0, "case_id"]) == {"BraTS-SSA-00010-000"}
    # Full-size reference masks counted by the derived table of survival features.
    row = headers[(headers["case_id"] == "BraTS20_Training_001") & (headers["modality"] == "seg")].iloc[0]
    assert [row[f"voxels_{label}"] for label in ("NCR", "ED", "ET")] == [15443, 168794, 27742]
