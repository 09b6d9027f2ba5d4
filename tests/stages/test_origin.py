"""When a prediction is up to date."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from brats_ml.adapters.registry import Version
from brats_ml.cohort.cases import Case
from brats_ml.config import load
from brats_ml.stages.origin import Origin

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

    assert later.glance(CASE) == origin.glance(CASE)


def test_other_code_another_model_and_another_file_make_a_prediction_old(origin: Origin) -> None:
    others = [
        replace(origin, code={**origin.code, "digest": "e"}),
        replace(origin, segmentation=Version("brats-segmentation", 2, "run", {})),
    ]
    glances = {origin.glance(CASE), *(other.glance(CASE) for other in others)}
    (origin.source / "A/A_t1.nii").write_bytes(b"another volume")

    assert len(glances | {origin.glance(CASE)}) == 4
