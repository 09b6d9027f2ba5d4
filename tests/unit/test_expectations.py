from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.adapters.expectations import judge
from brats_ml.imaging.quality.profile import COLUMNS, Row
from brats_ml.imaging.quality.rules import rules

RULES = rules(
    spacing_mm=1.0,
    spacing_tolerance=0.01,
    minimum_size=4,
    maximum_size=8,
    grid_tolerance_mm=0.5,
    oblique_degrees=1.0,
    largest_intensity=5.0,
    minimum_brain_share=0.01,
    maximum_brain_share=0.8,
    minimum_brain_ml=1.0,
    maximum_brain_ml=6.0,
    minimum_levels=3,
    negative_share=0.01,
    mask_agreement=0.8,
    mirror_ratio=1.0,
    likeness=0.97,
    pairing=0.0,
    enhancement=-0.1,
    fluid_contrast=0.0,
    label_contrast=0.2,
    label_advantage=0.0,
    outside_brain_share=0.01,
    severity={"oriented": "info"},
)

TEXTS = ("foreign_labels", "copy_of", "unread")
values = {
    rule.column: st.sampled_from(
        [None, "", "x"]
        if rule.column in TEXTS
        else [None, True, False]
        if rule.limits is None
        else [None, 0.5, 1.0, 1.005, 4, 6, 9]
    )
    for rule in RULES
}
rows = st.lists(st.fixed_dictionaries(values), max_size=6)


def table(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).convert_dtypes()


def named(case_id: str, row: Row) -> Row:
    return dict.fromkeys(COLUMNS) | {"case_id": case_id, "modality": "t1"} | row


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("docs") / "index.html"


@settings(max_examples=5, deadline=None)
@given(rows=rows)
def test_great_expectations_finds_what_the_rules_find(page: Path, rows: list[Row]) -> None:
    headers = [named(str(number), row) for number, row in enumerate(rows)]

    broken = judge(table(headers), RULES, page=page)

    assert broken == {(rule.column, row["case_id"], "t1") for row in headers for rule in RULES if not rule.keeps(row)}


def test_the_page_is_equal_for_equal_headers_and_fetches_nothing(tmp_path: Path) -> None:
    pages = [tmp_path / name for name in ("one.html", "two.html")]
    for page in pages:
        judge(table([named("bad", {"readable": False}), named("good", {"readable": True})]), RULES, page=page)

    text = pages[0].read_text()
    assert text == pages[1].read_text()
    assert "readable" in text
    assert "http:" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "https:" not in text
    assert "<script" not in text
