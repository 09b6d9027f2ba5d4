import re
from html.parser import HTMLParser
from typing import Any

import pytest

from brats_ml.cohort.modalities import MODALITIES
from brats_ml.imaging.quality.profile import COLUMNS, Row
from brats_ml.imaging.quality.unchecked import Unchecked
from brats_ml.reports.rule_texts import RULE_TEXTS
from brats_ml.reports.validation import (
    Finding,
    Gap,
    KeptOut,
    RuleRow,
    gaps,
    rule_rows,
    validation_page,
)
from tests.unit.test_rules import LIMITS, RULES

CLEAN = {"verdict": "pass", "stops": [], "cases": 7, "valid": 7}
LINKS = {"docs/index.html": "Data Docs"}


def rows(cases: int) -> list[Row]:
    return [
        dict.fromkeys(COLUMNS) | {"case_id": f"case {number}", "modality": modality, "brain_share": 0.9, "named": True}
        for number in range(cases)
        for modality in MODALITIES
    ]


def page(**changes: Any) -> str:
    empty = {"verdict": CLEAN, "volumes": 35, "rules": rule_rows(RULES, [], set()), "kept_out": [], "unchecked": []}
    return validation_page(**(empty | {"links": LINKS} | changes))


class Tags(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


def test_a_clean_cohort_has_a_page_that_says_so() -> None:
    html = page()

    assert "0 of 7 cases were quarantined." in html
    assert "Later stages use all of them." in html
    assert "Every volume was checked by every rule for its kind." in html


def test_a_cohort_that_stops_the_run_says_why() -> None:
    html = page(verdict=CLEAN | {"verdict": "stop", "stops": ["no case is valid"], "valid": 0})

    assert "The run stops: no case is valid." in html


def test_the_table_has_every_rule_with_its_meaning_and_its_present_limit() -> None:
    html = page()

    for rule in RULES:
        assert f"<code>{rule.column}</code>" in html
    table = {row.rule: row for row in rule_rows(RULES, [], set())}
    assert table["brain_ml"].limit == "800 to 3000 mL"
    assert table["mirror_ratio"].limit == "at most 1"
    assert table["minimum"].limit == "at least -100"
    assert table["spacing_x"].limit == "0.99 to 1.01 mm"
    assert table["present"].limit == ""
    assert "validate.minimum_brain_ml" in html


def test_the_parameters_of_all_limits_are_those_of_the_section() -> None:
    named = {name for text in RULE_TEXTS.values() for name in text.parameters}

    assert named == LIMITS.keys()
    assert RULE_TEXTS.keys() == {rule.column for rule in RULES}
    limited = {rule.column for rule in RULES if rule.limits is not None} - {"tumour_voxels"}
    assert {column for column, text in RULE_TEXTS.items() if text.parameters} - limited == {"same_grid"}


def test_an_offender_has_case_volume_and_value_and_its_rule_comes_first() -> None:
    found = rule_rows(RULES, rows(2), {("brain_share", "case 1", "t1ce")})

    assert found[0].rule == "brain_share"
    assert found[0].checked == 8
    assert [(one.case_id, one.role, one.value) for one in found[0].offenders] == [
        ("case 1", "t1ce", "0.9 of its voxels")
    ]
    html = page(rules=found, kept_out=[KeptOut("case 1", [Finding("brain_share", "too full", "every voxel is 0")])])
    assert '<a href="#case-1">case 1</a> t1ce: 0.9 of its voxels' in html


def test_what_cannot_be_read_shows_its_error_as_the_value() -> None:
    row = dict.fromkeys(COLUMNS) | {"case_id": "a", "modality": "t1", "readable": False, "error": "it is cut short"}

    (broken, *_) = rule_rows(RULES, [row], {("readable", "a", "t1")})

    assert broken.offenders[0].value == "it is cut short"


def test_a_defect_without_a_place_says_so_in_words() -> None:
    html = page(
        kept_out=[
            KeptOut(
                "a<b",
                [
                    Finding("present", "a has no t2", "the file is missing"),
                    Finding("finite", "values", "t1, axial slice k = 3", "quarantine/0001.png", "t1 of a<b, axial"),
                ],
            )
        ]
    )

    assert "No picture: the file is missing." in html
    (picture,) = Tags(html).all("img")
    assert picture["src"] == "quarantine/0001.png"
    assert picture["alt"] == "t1 of a<b, axial"
    assert "<figcaption>t1, axial slice k = 3</figcaption>" in html
    assert "1 of 7 cases were quarantined." in html


def test_what_was_not_checked_is_grouped_by_its_reason() -> None:
    found = [
        ("a", Unchecked("t1", (), "the file is missing")),
        ("b", Unchecked("seg", ("label_contrast",), "no label map")),
        ("c", Unchecked("seg", ("label_contrast",), "no label map")),
    ]

    table = gaps(found)

    assert table == [Gap(("label_contrast",), "no label map", ["b", "c"]), Gap((), "the file is missing", ["a t1"])]
    html = page(unchecked=table)
    assert "all rules for its contents" in html
    assert "b, c" in html


def test_a_long_list_is_folded_and_whole() -> None:
    offences = {("brain_share", f"case {number}", "t1") for number in range(40)}
    html = page(rules=rule_rows(RULES, rows(40), offences), unchecked=[Gap((), "why", [f"x{n}" for n in range(40)])])

    assert "and 34 more" in html
    assert "case 39" in html
    assert "x39" in html
    assert len(Tags(html).all("details")) == 2


def test_a_screen_reader_finds_language_captions_scopes_and_targets() -> None:
    tags = Tags(page(unchecked=[Gap((), "why", ["a"])], kept_out=[KeptOut("a", [Finding("present", "x", "y")])]))

    assert tags.all("html") == [{"lang": "en"}]
    assert len(tags.all("caption")) == len(tags.all("table")) == 2
    assert all(attrs.get("scope") in {"row", "col"} for attrs in tags.all("th"))
    ids = [attrs["id"] for _, attrs in tags.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["href"] for attrs in tags.all("a")} - {f"#{name}" for name in ids} == set(LINKS)


def test_the_page_of_hundreds_of_cases_is_small() -> None:
    reasons = [Finding("brain_share", "BraTS20_Training_001_flair.nii.gz has 90 % nonzero voxels" * 2, "where")] * 4
    names = [f"BraTS20_Training_{number:03d}" for number in range(300)]
    offenders = {("brain_share", f"case {number}", role) for number in range(300) for role in MODALITIES}

    html = page(
        rules=rule_rows(RULES, rows(300), offenders),
        kept_out=[KeptOut(name, reasons) for name in names],
        unchecked=[Gap((), "the case has no label map", names)],
    )

    assert len(html) < 800_000


@pytest.mark.parametrize("column", RULE_TEXTS)
def test_a_meaning_is_a_clause(column: str) -> None:
    assert re.fullmatch(r"[^.].*[^.]", RULE_TEXTS[column].meaning)


def test_a_row_keeps_the_severity_of_its_rule() -> None:
    (row,) = [row for row in rule_rows(RULES, [], set()) if row.rule == "oriented"]

    assert isinstance(row, RuleRow)
    assert row.severity == "info"
