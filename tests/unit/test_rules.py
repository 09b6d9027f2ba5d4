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
    "minimum_levels": 3,
    "negative_share": 0.01,
    "mask_agreement": 0.8,
    "outside_brain_share": 0.01,
}
RULES = rules(**LIMITS, severity={"oriented": "info"})


def row(**changes: object) -> Row:
    sound = {"case_id": "a", "modality": "t1", "name": "a_t1.nii", "named": True, "present": True, "readable": True}
    measured = {f"shape_{axis}": 5 for axis in "xyz"} | {f"spacing_{axis}": 1.0 for axis in "xyz"} | {"axes": "LPS"}
    return dict.fromkeys(COLUMNS) | sound | measured | changes


def test_a_sound_volume_breaks_no_rule() -> None:
    assert findings([row()], RULES) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"named": False, "error": "lies twice"}, "lies twice"),
        ({"present": False}, "a has no t1: add its file, named as its release names it"),
        ({"readable": False, "error": "a.nii is cut short"}, "a.nii is cut short: copy it again from where it came"),
        ({"shape_z": 9}, "a_t1.nii has 9 voxels along z, not 4 to 8: resample it"),
        ({"spacing_x": 0.5}, "a_t1.nii has voxels of 0.5 mm along x, not 0.99 to 1.01: resample it"),
        ({"oblique_degrees": 20.0}, "a_t1.nii lies 20 degrees oblique: resample it along the scanner's axes"),
        (
            {"disagreement_mm": 0.5},
            "a_t1.nii has a header whose qform, sform and voxel size differ by 0.5 mm: mend the header",
        ),
        (
            {"same_grid": False},
            "a_t1.nii lies on another grid than the other volumes of the case: resample it onto theirs",
        ),
        ({"finite": False}, "a_t1.nii holds values that are not finite: export it again"),
        *(
            (
                {"brain_share": share},
                f"a_t1.nii is other than zero in {share:.2%} of it, not 1% to 80%: export it again, with zero outside "
                "the brain",
            )
            for share in (0.0, 1.0)
        ),
        ({"minimum": -3e38}, "a_t1.nii holds values down to -3e+38: export it again"),
        ({"maximum": 1e30}, "a_t1.nii holds values up to 1e+30: export it again"),
        (
            {"mask_agreement": 0.5},
            "a_t1.nii fills other voxels than the other images (Dice 0.50): see whether it is whole",
        ),
        ({"unread": "a/x.nii"}, "a/x.nii has no name of its release, or lies elsewhere, and is not read"),
        ({"levels": 1}, "a_t1.nii is no image, with 1 value(s) other than zero"),
        ({"negative_share": 0.3}, "a_t1.nii is negative in 30.00% of it: see whether it overflowed"),
        (
            {"labels": "0 3", "foreign_labels": "3"},
            "a_t1.nii holds labels 0 3, of which its release knows no 3: correct or remove them",
        ),
        ({"tumour_voxels": 0}, "a_t1.nii labels no voxel: remove the file, or label the tumour"),
        (
            {"outside_brain_share": 0.25},
            "a_t1.nii has 25.00% of its labels outside the brain: see whether it is another case's",
        ),
        ({"copy_of": "b_t1.nii of case b"}, "a_t1.nii holds the very voxels of b_t1.nii of case b: keep one of them"),
    ],
)
def test_a_broken_rule_is_told_in_a_clause_that_says_what_to_do(changes: Row, sentence: str) -> None:
    assert findings([row(**changes)], RULES) == [sentence]


def test_what_is_only_noted_keeps_no_case_out() -> None:
    unoriented = row(oriented=False)

    assert findings([unoriented], RULES) == []
    (rule,) = broken(unoriented, RULES)
    assert rule.finding(unoriented) == "a_t1.nii does not say how the patient lies and is taken for LPS"


def test_the_parameters_set_how_grave_a_rule_is() -> None:
    noted = rules(**LIMITS, severity={"tumour_voxels": "info", "copy_of": "critical"})

    assert findings([row(tumour_voxels=0)], noted) == []
    assert [rule.severity for rule in broken(row(copy_of="b"), noted)] == ["critical"]


def test_what_is_unknown_breaks_no_rule() -> None:
    unreadable = dict.fromkeys(COLUMNS) | {"case_id": "a", "modality": "t1", "present": True, "readable": False}

    assert len(findings([unreadable], RULES)) == 1


def test_limits_include_their_ends() -> None:
    (rule,) = [rule for rule in RULES if rule.column == "negative_share"]

    assert rule.keeps(row(negative_share=0.01))
    assert not rule.keeps(row(negative_share=0.0101))
    assert replace(rule, limits=(None, None)).keeps(row(negative_share=1.0))


def test_each_rule_is_named_after_its_own_column() -> None:
    columns = [rule.column for rule in RULES]

    assert columns == list(get_args(Check))
    assert set(columns) <= set(COLUMNS)
