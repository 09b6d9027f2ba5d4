from dataclasses import replace
from typing import get_args

import pytest

from brats_ml.cohort.severity import Check
from brats_ml.imaging.quality.profile import COLUMNS, Row
from brats_ml.imaging.quality.rules import broken, findings, rules

LIMITS = {
    "spacing_mm": 1.0,
    "spacing_tolerance": 0.01,
    "minimum_size": 4,
    "maximum_size": 8,
    "grid_tolerance_mm": 0.001,
    "oblique_degrees": 1.0,
    "largest_intensity": 100.0,
    "minimum_brain_share": 0.01,
    "maximum_brain_share": 0.8,
    "minimum_brain_ml": 800.0,
    "maximum_brain_ml": 3000.0,
    "minimum_levels": 3,
    "negative_share": 0.01,
    "mask_agreement": 0.8,
    "mirror_ratio": 1.0,
    "likeness": 0.97,
    "pairing": 0.0,
    "enhancement": -0.1,
    "fluid_contrast": 0.0,
    "outside_brain_share": 0.01,
    "label_contrast": 0.2,
    "label_advantage": 0.0,
}
RULES = rules(**LIMITS, severity={"oriented": "info"})


def row(**changes: object) -> Row:
    valid = {"case_id": "a", "modality": "t1", "name": "a_t1.nii", "named": True, "present": True, "readable": True}
    measured = {f"shape_{axis}": 5 for axis in "xyz"} | {f"spacing_{axis}": 1.0 for axis in "xyz"} | {"axes": "LPS"}
    return dict.fromkeys(COLUMNS) | valid | measured | changes


def test_a_valid_volume_breaks_no_rule() -> None:
    assert findings([row()], RULES) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"named": False, "error": "exists twice"}, "exists twice"),
        ({"present": False}, "a has no t1: add its file, named as the others are"),
        ({"readable": False, "error": "a.nii is cut short"}, "a.nii is cut short: copy it again from its source"),
        ({"shape_z": 9}, "a_t1.nii has 9 voxels along z, not 4 to 8: resample it"),
        ({"spacing_x": 0.5}, "a_t1.nii has voxels of 0.5 mm along x, not 0.99 to 1.01: resample it"),
        ({"oblique_degrees": 20.0}, "a_t1.nii is rotated by 20 degrees: resample it along the scanner's axes"),
        (
            {"disagreement_mm": 0.5},
            "the qform, sform and voxel size of a_t1.nii differ by 0.5 mm: fix its header",
        ),
        (
            {"same_grid": False},
            "a_t1.nii is on another grid than the other volumes of the case: resample it onto theirs",
        ),
        ({"finite": False}, "a_t1.nii has values that are not finite: export it again"),
        *(
            (
                {"brain_share": share},
                f"a_t1.nii has {share:.2%} nonzero voxels, not 1% to 80%: export it again, with zero outside the brain",
            )
            for share in (0.0, 1.0)
        ),
        ({"minimum": -3e38}, "a_t1.nii has values down to -3e+38: export it again"),
        ({"maximum": 1e30}, "a_t1.nii has values up to 1e+30: export it again"),
        (
            {"mask_agreement": 0.5},
            "a_t1.nii covers other voxels than the other images (Dice 0.50): check that it is complete",
        ),
        (
            {"unread": "a/x.nii"},
            "a/x.nii is not read: its name fits no release, or it is outside the case's folder",
        ),
        ({"levels": 1}, "a_t1.nii is no image: it has only 1 value(s) other than zero"),
        ({"negative_share": 0.3}, "a_t1.nii is negative in 30.00% of its voxels: check whether values overflowed"),
        (
            {"labels": "0 3", "foreign_labels": "3"},
            "a_t1.nii has labels 0 3, but its release does not define 3: correct or remove them, or say with "
            "acquire.naming which labels the cohort has (docs/reference/labels.md)",
        ),
        ({"tumour_voxels": 0}, "a_t1.nii labels no voxel: remove the file, or label the tumour"),
        (
            {"outside_brain_share": 0.25},
            "a_t1.nii has 25.00% of its labels outside the brain: check whether it belongs to another case",
        ),
        ({"brain_ml": 170.0}, "a_t1.nii shows a brain of 170 ml, not 800 to 3000: check its voxel size"),
        (
            {"mirror_ratio": 2.5},
            "a_t1.nii fits the other images better when it is flipped (2.50 times as well): check whether it is "
            "mirrored",
        ),
        (
            {"likeness": 0.9951},
            "a_t1.nii is almost the same image as another one of the case (correlation 0.995): check whether one scan "
            "has the names of two",
        ),
        (
            {"pairing": -0.5},
            "a_t1.nii and T1ce, or FLAIR and T2, are less alike than other images of a (-0.50): check whether two "
            "modalities are exchanged",
        ),
        (
            {"enhancement": -1.0},
            "a_t1.nii has no brighter vessels than T1 (-1.00): check whether T1 and T1ce are exchanged",
        ),
        (
            {"fluid_contrast": -2.0},
            "a_t1.nii has darker fluid than FLAIR (-2.00): check whether T2 and FLAIR are exchanged",
        ),
        (
            {"label_contrast": 0.1},
            "a_t1.nii labels what is hardly brighter than the brain around it in FLAIR and T2 (0.10): check whether it "
            "belongs to another case",
        ),
        (
            {"label_advantage": -0.25},
            "a_t1.nii fits the images better when it is flipped (-0.25): check whether it is mirrored",
        ),
        (
            {"copy_of": "b_t1.nii of case b"},
            "a_t1.nii has exactly the same voxels as b_t1.nii of case b: keep one of them",
        ),
    ],
)
def test_a_broken_rule_gives_a_clause_that_says_what_to_do(changes: Row, sentence: str) -> None:
    assert findings([row(**changes)], RULES) == [sentence]


def test_a_rule_of_severity_info_makes_no_case_invalid() -> None:
    unoriented = row(oriented=False)

    assert findings([unoriented], RULES) == []
    (rule,) = broken(unoriented, RULES)
    assert rule.finding(unoriented) == "a_t1.nii does not state its orientation, so LPS is assumed"


def test_the_parameters_set_the_severity_of_a_rule() -> None:
    noted = rules(**LIMITS, severity={"tumour_voxels": "info", "copy_of": "critical"})

    assert findings([row(tumour_voxels=0)], noted) == []
    assert [rule.severity for rule in broken(row(copy_of="b"), noted)] == ["critical"]


def test_an_unknown_value_breaks_no_rule() -> None:
    unreadable = dict.fromkeys(COLUMNS) | {"case_id": "a", "modality": "t1", "present": True, "readable": False}

    assert len(findings([unreadable], RULES)) == 1


def test_limits_include_their_ends() -> None:
    (rule,) = [rule for rule in RULES if rule.column == "negative_share"]

    assert rule.keeps(row(negative_share=0.01))
    assert not rule.keeps(row(negative_share=0.0101))
    assert replace(rule, limits=(None, None)).keeps(row(negative_share=1.0))


def test_each_rule_is_named_after_its_column() -> None:
    columns = [rule.column for rule in RULES]

    assert columns == list(get_args(Check))
    assert set(columns) <= set(COLUMNS)
