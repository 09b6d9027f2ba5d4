"""Which cohorts are of phantoms alone, also where a folder holds them."""

from typing import Any

import pytest

from brats_ml.cohort.synthetic import all_synthetic, is_synthetic

PHANTOM = "BraTS20_Training_501/BraTS20_Training_501_t1.nii.gz"
PATIENT = "BraTS20_Training_369/BraTS20_Training_369_t1.nii.gz"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (PHANTOM, True),
        ("BraTS20_Validation_501", True),
        ("BraTS-GLI-90001-100", True),
        ("BraTS-GLI-02405-100", False),
        (PATIENT, False),
        ("BraTS2021_00501", False),
        ("P501", False),
    ],
)
def test_a_phantom_is_known_by_its_name(name: str, expected: bool) -> None:
    assert is_synthetic(name) == expected


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ({"phantom": {"cases": 4}, "files": []}, True),
        ({"phantom": None, "files": [{"path": PHANTOM}]}, True),
        ({"phantom": None, "files": [{"path": PHANTOM}, {"path": PATIENT}]}, False),
        ({"phantom": None, "files": []}, False),
    ],
)
def test_a_cohort_is_synthetic_if_all_its_cases_are(listing: dict[str, Any], expected: bool) -> None:
    assert all_synthetic(listing) == expected
