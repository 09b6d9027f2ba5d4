"""When a prediction is up to date."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from brats_ml.actions.prediction_inputs import Origin
from brats_ml.adapters.tables.clinical import clinical_table, identities
from brats_ml.adapters.tracking.registry import Version
from brats_ml.cohort.cases import Case
from brats_ml.config import load

ROOT = Path(__file__).resolve().parents[2]
CASE = Case("A", "A", {"t1": "A/A_t1.nii"}, None, "brats2017-2021")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    (tmp_path / "A").mkdir()
    (tmp_path / "A/A_t1.nii").write_bytes(b"volume")
    return Origin(
        source=tmp_path,
        rules=load(ROOT / "params.yaml").validate_,
        clinical=pd.DataFrame(columns=["patient", "age_years"]),
        code={"commit": "one", "dirty": "false", "digest": "d"},
        segmentation=Version("brats-segmentation", 1, "run", {}),
        survival=None,
    )


def test_a_commit_that_changes_no_code_makes_no_prediction_old(origin: Origin) -> None:
    later = replace(origin, code={"commit": "two", "dirty": "true", "digest": "d"})

    assert later.fingerprint(CASE) == origin.fingerprint(CASE)


def test_other_code_another_model_and_another_file_make_a_prediction_old(origin: Origin) -> None:
    others = [
        replace(origin, code={**origin.code, "digest": "e"}),
        replace(origin, segmentation=Version("brats-segmentation", 2, "run", {})),
    ]
    fingerprints = {origin.fingerprint(CASE), *(other.fingerprint(CASE) for other in others)}
    (origin.source / "A/A_t1.nii").write_bytes(b"another volume")

    assert len(fingerprints | {origin.fingerprint(CASE)}) == 4


def test_a_case_that_was_mended_is_looked_at_again(origin: Origin) -> None:
    """Refused for its label map, or for two files of one modality; then the one or the other is taken away."""
    (origin.source / "A/A_seg.nii").write_bytes(b"labels")
    labelled = replace(CASE, label="A/A_seg.nii")
    doubled = replace(CASE, faults={"t1": "t1 has 2 files"})
    before = origin.fingerprint(labelled)
    (origin.source / "A/A_seg.nii").write_bytes(b"better labels")

    assert len({before, origin.fingerprint(labelled), origin.fingerprint(doubled), origin.fingerprint(CASE)}) == 4


@pytest.mark.parametrize("case_id", ["BraTS20_Training_001", "Brats17_X_1", "BraTS19_X_1"])
def test_an_age_is_found_whatever_year_named_the_patient(case_id: str, origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "survival_data.csv").write_text("BraTS18ID;Age\nBrats18_X_1;60,5\n")
    (tmp_path / "A/name_mapping.csv").write_text("BraTS_2018_subject_ID,BraTS2020\nBrats18_X_1,BraTS20_Training_001\n")
    known = identities(tmp_path)
    informed = replace(origin, clinical=clinical_table(tmp_path, known), known=known)

    assert informed.age_years(replace(CASE, case_id=case_id, patient=case_id)) == 60.5
    assert informed.age_years(CASE) is None
