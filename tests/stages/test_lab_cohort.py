"""A lab's own names and modalities from the source to the array files, and DICOM that nobody reads in silence."""

import shutil
import tarfile
import zipfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pandas as pd
import pytest

from brats_ml.adapters.case_files.array_file import read_case
from brats_ml.cohort.dicom import ADVICE, MAGIC, PREAMBLE_BYTES
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.config import Params
from brats_ml.errors import EmptyCohortError
from brats_ml.files import read_json
from brats_ml.reports.cohort_section import case_values
from brats_ml.stages import acquire, features, preprocess, source, split, validate
from brats_ml.workspace import Workspace

MakeParams = Callable[[dict[str, Any]], Params]
DICOM = bytes(PREAMBLE_BYTES) + MAGIC + b"rest"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "checkout")


def volume(cohort: Path, number: int, role: str) -> Path:
    name = f"BraTS20_Training_50{number}"
    return cohort / name / f"{name}_{role}.nii.gz"


def lay_out(cohort: Path, folder: Path, names: dict[int, dict[str, str]]) -> Path:
    """Copy volumes of the cohort to other names: by number of the patient and by role."""
    for number, files in names.items():
        for role, name in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(volume(cohort, number, role), folder / name)
    return folder


@pytest.mark.slow
def test_a_cohort_in_four_layouts_with_two_modalities_reaches_split_and_features(
    ws: Workspace, cohort: Path, tmp_path: Path, make_params: MakeParams
) -> None:
    lab = lay_out(
        cohort,
        tmp_path / "lab",
        {
            1: {"flair": "PAT_0001/flair.nii.gz", "t1ce": "PAT_0001/T1gd.nii.gz", "seg": "PAT_0001/seg.nii.gz"},
            2: {
                "flair": "sub-02/ses-1/anat/sub-02_ses-1_FLAIR.nii.gz",
                "t1ce": "sub-02/ses-1/anat/sub-02_ses-1_ce-GAD_T1w.nii.gz",
                "seg": "derivatives/sub-02/ses-1/anat/sub-02_ses-1_dseg.nii.gz",
            },
            3: {role: f"ward/P3/2019/{role}.nii.gz" for role in ("flair", "t1ce", "seg")},
            4: {role: f"ward/P3/2020/{role}.nii.gz" for role in ("flair", "t1ce", "seg")},
            5: {"flair": "U-5/U-5_FLAIR.nii.gz", "t1ce": "U-5/U-5_T1c.nii.gz", "t1": "U-5/U-5_T1.nii.gz"},
        },
    )
    params = make_params({"acquire.source": str(lab), "acquire.naming.patterns": ["ward/{patient}/{visit}/{modality}"]})

    source.run(ws, params)
    acquire.run(ws, params)
    report = validate.run(ws, params)
    preprocess.run(ws, params)
    split.run(ws, params)
    features.run(ws, params, masks="reference")

    records = {case["case_id"]: case for case in read_json(ws.validation.manifest)["cases"]}
    assert {name: case["patient"] for name, case in records.items()} == {
        "P3_ses-2019": "P3",
        "P3_ses-2020": "P3",
        "PAT_0001": "PAT_0001",
        "U-5": "U-5",
        "sub-02_ses-1": "sub-02",
    }
    assert set(read_json(ws.image_splits)["patients"]) == {"P3", "PAT_0001", "U-5", "sub-02"}
    image = read_case(ws.preprocessed.case("PAT_0001")).image
    assert [bool(image[MODALITIES.index(role)].any()) for role in MODALITIES] == [True, False, True, False]
    assert len(ws.features("reference").path.read_text().splitlines()) == 5
    assert "5 of 5 cases valid, 5 with fewer modalities, which " in str(report)
    unchecked = {rule["rule"]: rule["unchecked"] for rule in read_json(ws.validation.verdict)["rules"]}
    assert unchecked["pairing"] == sorted(records)
    assert unchecked["enhancement"] == sorted(set(records) - {"U-5"})
    assert unchecked["mirror_ratio"] == []


def test_a_case_needs_the_modalities_of_the_chosen_recipes(
    workspace: Workspace, make_params: MakeParams, params: Params
) -> None:
    for path in workspace.raw.path.glob("*_502/*_t2.nii.gz"):
        path.unlink()
    for number in (3, 4, 5, 6):
        shutil.rmtree(workspace.raw.path / f"BraTS20_Training_50{number}")

    validate.run(workspace, params)
    with_two = read_json(workspace.validation.quarantine)
    validate.run(workspace, make_params({"train.recipes": ["baseline_mini", "regions2d"]}))
    with_four = read_json(workspace.validation.quarantine)

    assert with_two == []
    assert [entry["reason"] for entry in with_four] == [
        "BraTS20_Training_502 has no t2: add its file, named as the others are"
    ]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *product(
            ("folder", "zip", "tar.gz"),
            ("PAT_1/DICOM/IM0001", "PAT_1/a.dcm", "PAT_1/DICOMDIR", "x/MR.1.2.840.113619.2.5.1"),
        ),
        ("s3", "PAT_1/a.dcm"),  # objects of a bucket are known by their names alone
    ],
)
def test_a_source_of_dicom_is_named_as_such_with_advice(
    ws: Workspace, tmp_path: Path, make_params: MakeParams, kind: str, name: str, request: pytest.FixtureRequest
) -> None:
    folder = tmp_path / "lab"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_bytes(DICOM)
    place = str(folder)
    if kind == "zip":
        place += ".zip"
        with zipfile.ZipFile(place, "w") as archive:
            archive.write(folder / name, name)
    elif kind == "tar.gz":
        place += ".tar.gz"
        with tarfile.open(place, "w:gz") as archive:
            archive.add(folder / name, name)
    elif kind == "s3":
        place = "s3://dicom"
        client = boto3.client("s3", endpoint_url=request.getfixturevalue("aws"))
        client.create_bucket(Bucket="dicom")
        client.put_object(Bucket="dicom", Key=name, Body=DICOM)

    with pytest.raises(EmptyCohortError) as raised:
        source.run(ws, make_params({"acquire.source": place}))

    assert str(raised.value) == f"{place} holds DICOM, such as {name}, and no NIfTI volume: {ADVICE}"


def test_dicom_among_volumes_is_reported_and_a_readme_is_not(
    ws: Workspace, cohort: Path, tmp_path: Path, make_params: MakeParams
) -> None:
    lab = lay_out(cohort, tmp_path / "lab", {1: {"flair": "P1/flair.nii.gz"}})
    (lab / "P1/README").write_text("no DICOM" * 50)
    (lab / "P2/series").mkdir(parents=True)
    (lab / "P2/series/IM1").write_bytes(DICOM)

    report = str(source.run(ws, make_params({"acquire.source": str(lab)})))

    assert report == (
        f"source: 1 case(s), 1 volume(s), 0 table(s) in {lab}; DICOM in 1 folder(s), such as P2, is not read: {ADVICE}"
    )


def test_a_missing_modality_is_zero_and_the_others_keep_their_voxels(
    workspace: Workspace, params: Params, cohort: Path
) -> None:
    for role in ("t1", "t2", "seg"):
        (workspace.raw.path / f"BraTS20_Training_501/BraTS20_Training_501_{role}.nii.gz").unlink()
    validate.run(workspace, params)
    preprocess.run(workspace, params)

    image = read_case(workspace.preprocessed.case("BraTS20_Training_501")).image

    assert not image[MODALITIES.index("t1")].any()
    assert np.count_nonzero(image[MODALITIES.index("flair")]) > 1000


def test_the_pages_show_what_a_cohort_of_two_modalities_was_not_checked_for(
    workspace: Workspace, params: Params
) -> None:
    for path in (*workspace.raw.path.glob("*/*_t1.nii.gz"), *workspace.raw.path.glob("*/*_t2.nii.gz")):
        path.unlink()
    validate.run(workspace, params)

    page = workspace.validation.page.path.read_text()
    values = case_values(pd.read_csv(workspace.validation.headers))

    assert "the case has no such image, and no chosen recipe needs it" in page
    assert values["t1 p50"].isna().all()
    assert values["flair p50"].notna().all()
