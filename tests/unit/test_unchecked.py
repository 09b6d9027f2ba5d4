from typing import Any

from brats_ml.cohort.cases import WHOLE
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.imaging.quality import unchecked as module
from brats_ml.imaging.quality.profile import COLUMNS, Row
from brats_ml.imaging.quality.unchecked import OF_LABEL_MAPS, Unchecked, unchecked


def rows(**changes: dict[str, Any]) -> list[Row]:
    """Return the rows of a case that was checked by every rule, with changes by role."""
    return [
        dict.fromkeys(COLUMNS, 5)
        | {"modality": role, "present": True, "readable": True, "same_grid": True, "finite": True}
        | changes.get(role, {})
        for role in (*MODALITIES, "seg")
    ]


def test_a_whole_case_was_checked_by_every_rule() -> None:
    assert list(unchecked(rows())) == []


def test_a_case_without_label_map_was_not_checked_by_the_rules_of_label_maps() -> None:
    assert list(unchecked(rows()[:4])) == [Unchecked("seg", OF_LABEL_MAPS, module.NO_LABEL_MAP)]


def test_of_a_volume_that_was_not_read_nothing_was_checked() -> None:
    changes = {
        "flair": {"present": None, "readable": None},
        "t1": {"present": False, "readable": None},
        "t2": {"readable": False},
    }

    found = list(unchecked(rows(**changes)))

    assert found == [
        Unchecked("flair", (), module.NAMELESS),
        Unchecked("t1", (), module.MISSING),
        Unchecked("t2", (), module.UNREADABLE),
    ]


def test_a_case_that_its_file_names_refuse_has_one_reason() -> None:
    refused = dict.fromkeys(COLUMNS) | {"modality": WHOLE}

    assert list(unchecked([refused])) == [Unchecked(WHOLE, (), module.NAMELESS)]


def test_a_volume_on_another_grid_was_not_compared() -> None:
    found = list(unchecked(rows(t1={"same_grid": False, "mask_agreement": None, "likeness": None, "pairing": None})))

    assert found == [Unchecked("t1", ("mask_agreement", "likeness", "pairing"), module.OTHER_GRID)]


def test_the_image_that_a_comparison_lacks_is_the_reason() -> None:
    found = list(unchecked(rows(t1={"levels": 1, "copy_of": None}, t1ce={"enhancement": None}, t2={"likeness": None})))

    assert found == [
        Unchecked("t1", ("copy_of",), module.FEW_VALUES),
        Unchecked("t1ce", ("enhancement",), module.NOT_COMPARABLE),
        Unchecked("t2", ("likeness",), module.TOO_SMALL),
    ]


def test_a_small_tumour_was_not_compared() -> None:
    found = list(unchecked(rows(seg={"label_contrast": None, "label_advantage": None})))

    assert found == [Unchecked("seg", ("label_contrast", "label_advantage"), module.TOO_SMALL)]
