"""New patients in a lab's own names: scored with the modalities that the champion reads, or refused with advice."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from brats_ml.actions import score, unscored, waiting
from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.cohort.dicom import ADVICE, MAGIC, PREAMBLE_BYTES
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.workspace import Workspace

FIRST, SECOND = "BraTS20_Validation_501", "BraTS20_Validation_502"
TWO = ("flair", "t1ce")


def records(ws: Workspace) -> dict[str, dict[str, Any]]:
    read = [json.loads(folder.prediction.path.read_text()) for folder in ws.predictions().cases()]
    return {record["case_id"]: record for record in read}


def labels(ws: Workspace, case_id: str) -> np.ndarray:
    return read_volume(ws.predictions().case(case_id).labels(case_id)).array


def copy(ws: Workspace, case_id: str, *names: str) -> None:
    """Copy FLAIR and T1ce of a case of the inbox to paths in it."""
    for role, name in zip(TWO, names, strict=True):
        path = ws.inbox.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ws.inbox.path / case_id / volume_name(case_id, role), path)


def write_dicom(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(PREAMBLE_BYTES) + MAGIC)


def test_new_patients_in_any_layout_are_scored_with_the_modalities_that_the_champion_reads(
    ws: Workspace, make_params: Callable[[dict[str, Any]], Params], crown: Callable[[str, int], None]
) -> None:
    """The baseline reads FLAIR and T1ce, so T1 and T2 change no label."""
    params = make_params(
        {
            "evaluate.runtime": "keras",
            "acquire.naming.patterns": ["ward/{patient}/{visit}/{modality}"],
            "acquire.naming.words": {"t1ce": ["mprage_km"]},
        }
    )
    crown("segmentation", 1)
    crown("survival", 1)
    copy(ws, FIRST, "PAT_1/flair.nii.gz", "PAT_1/T1Gd.nii.gz")
    copy(ws, FIRST, "sub-2/anat/sub-2_FLAIR.nii.gz", "sub-2/anat/sub-2_ce-GAD_T1w.nii.gz")
    copy(ws, FIRST, "ward/P3/2019/flair.nii.gz", "ward/P3/2019/mprage_km.nii.gz")
    copy(ws, FIRST, "PAT_1/adc.nii.gz", "PAT_1/T1Gd.nii.gz")
    write_dicom(ws.inbox.path / "PAT_1/raw/IM1")
    write_dicom(ws.inbox.path / "PAT_4/series 1/IM1")
    write_dicom(ws.inbox.path / "PAT_4/series 2/IM1")

    assert waiting.inbox(ws, params.acquire.naming.rules)["cases"] == 6
    score.run(ws, params)

    found = records(ws)
    assert {name: record["status"] for name, record in found.items()} == {
        FIRST: "scored",
        SECOND: "scored",
        "PAT_1": "scored",
        "PAT_4": "refused",
        "P3_ses-2019": "scored",
        "sub-2": "scored",
    }
    assert found["P3_ses-2019"]["patient"] == "P3"
    assert labels(ws, FIRST).any()
    for name in ("PAT_1", "sub-2", "P3_ses-2019"):
        np.testing.assert_array_equal(labels(ws, name), labels(ws, FIRST))
    unchecked = "has no t1, t2, so it was not checked for pairing, enhancement, fluid_contrast"
    assert unchecked in found["sub-2"]["flags"]
    assert "not read: PAT_1/adc.nii.gz, PAT_1/raw/IM1" in found["PAT_1"]["flags"]
    assert not [flag for flag in found[FIRST]["flags"] if "not checked" in flag]
    assert found["PAT_4"]["reason"] == f"PAT_4 holds DICOM, such as IM1: {ADVICE}"
    assert unscored.run(ws, params).details["shards"] == []


def test_a_champion_of_four_modalities_refuses_a_case_of_two(
    ws: Workspace, quick_params: Params, crown: Callable[[str, int], None]
) -> None:
    crown("segmentation", 2)
    copy(ws, FIRST, "PAT_1/flair.nii.gz", "PAT_1/t1ce.nii.gz")

    score.run(ws, quick_params, only=["PAT_1"])

    assert records(ws)["PAT_1"]["reason"] == (
        "PAT_1 has no t1: add its file, named as the others are; PAT_1 has no t2: add its file, named as the others are"
    )


def test_other_values_of_labels_make_a_prediction_again(
    ws: Workspace, make_params: Callable[[dict[str, Any]], Params], crown: Callable[[str, int], None]
) -> None:
    crown("segmentation", 1)
    copy(ws, FIRST, "PAT_1/flair.nii.gz", "PAT_1/t1ce.nii.gz")
    for scheme, values in (("brats2017-2021", {0, 1, 2, 4}), ("brats2023", {0, 1, 2, 3})):
        params = make_params({"evaluate.runtime": "keras", "acquire.naming.labels": scheme})

        score.run(ws, params, only=["PAT_1"])

        assert set(np.unique(labels(ws, "PAT_1"))) <= values
        assert max(values) in labels(ws, "PAT_1")
