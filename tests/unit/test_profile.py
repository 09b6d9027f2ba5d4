import numpy as np
import pytest

from brats_ml.cohort.labels import SCHEMES
from brats_ml.imaging.profile import COLUMNS, Row, findings, profile, rules

RULES = rules(spacing_mm=1.0, spacing_tolerance=0.01, minimum_size=4, maximum_size=8)
SCHEME = SCHEMES["brats2017-2021"]


def row(volume: np.ndarray, **changes: object) -> Row:
    measured = profile(volume, spacing_mm=(1, 1, 1), axes="LPS", scheme=None)
    keys = {"case_id": "a", "modality": "t1", "same_grid": True}
    return dict.fromkeys(COLUMNS) | keys | measured | changes


def image() -> np.ndarray:
    volume = np.zeros((4, 5, 6), dtype=np.int16)
    volume[1, 2, 3:5] = [10, -2]
    return volume


def test_an_image_is_measured() -> None:
    assert profile(image(), spacing_mm=(1, 1, 2), axes="LPS", scheme=None) == {
        "present": True,
        "readable": True,
        "shape_x": 4,
        "shape_y": 5,
        "shape_z": 6,
        "spacing_x": 1,
        "spacing_y": 1,
        "spacing_z": 2,
        "axes": "LPS",
        "dtype": "int16",
        "finite": True,
        "nonzero_share": round(2 / 120, 6),
        "minimum": -2,
        "maximum": 10,
        "mean": round(8 / 120, 6),
        "has_brain": True,
    }


def test_labels_are_listed_in_order_and_held_against_the_scheme_of_their_release() -> None:
    volume = np.array([[[4.0, 0, 1]]], dtype=np.float32)

    known = profile(volume, spacing_mm=(1, 1, 1), axes="RAS", scheme=SCHEME)
    foreign = profile(volume, spacing_mm=(1, 1, 1), axes="RAS", scheme=SCHEMES["brats2023"])

    assert (known["labels"], known["labels_known"]) == ("0 1 4", True)
    assert (foreign["labels"], foreign["labels_known"]) == ("0 1 4", False)


def test_an_empty_label_map_is_no_fault() -> None:
    measured = profile(np.zeros((4, 4, 4)), spacing_mm=(1, 1, 1), axes="LPS", scheme=SCHEME)

    assert measured["labels_known"] is True
    assert "has_brain" not in measured


def test_values_that_are_not_finite_are_seen_and_kept_out_of_the_range() -> None:
    volume = image().astype(np.float32)
    volume[0, 0, 0] = np.nan

    measured = profile(volume, spacing_mm=(1, 1, 1), axes="LPS", scheme=None)

    assert measured["finite"] is False
    assert (measured["minimum"], measured["maximum"]) == (-2, 10)


def test_a_volume_of_four_axes_is_refused() -> None:
    with pytest.raises(ValueError, match="4 axes instead of 3"):
        profile(np.zeros((4, 4, 4, 2)), spacing_mm=(1, 1, 1), axes="LPS", scheme=None)


def test_a_sound_volume_breaks_no_rule() -> None:
    assert findings([row(image())], RULES) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"present": False}, "t1 is missing"),
        ({"readable": False, "error": "a.nii is cut short"}, "t1 cannot be read: a.nii is cut short"),
        ({"shape_z": 9}, "t1 has 9 voxels along z, not 4 to 8"),
        ({"spacing_x": 0.5}, "t1 has voxels of 0.5 mm along x, not 0.99 to 1.01"),
        ({"same_grid": False}, "t1 lies on another grid than the other volumes of the case"),
        ({"finite": False}, "t1 holds values that are not finite"),
        ({"has_brain": False}, "t1 is zero everywhere"),
        ({"labels": "0 3", "labels_known": False}, "t1 holds labels 0 3, not all of which its release knows"),
    ],
)
def test_a_broken_rule_is_told_in_a_clause(changes: Row, sentence: str) -> None:
    assert findings([row(image(), **changes)], RULES) == [sentence]


def test_what_is_unknown_breaks_no_rule() -> None:
    unreadable = dict.fromkeys(COLUMNS) | {"case_id": "a", "modality": "t1", "present": True, "readable": False}

    assert len(findings([unreadable], RULES)) == 1


def test_no_two_rules_share_a_column() -> None:
    columns = [rule.column for rule in RULES]

    assert len(set(columns)) == len(columns)
    assert set(columns) <= set(COLUMNS)
