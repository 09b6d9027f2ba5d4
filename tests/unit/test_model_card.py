import json

from brats_ml.reports.model_card import ModelCard, Section, Table, card_html, card_markdown
from tests.page_requests import outside_addresses

CARD = ModelCard(
    "brats-segmentation",
    [("Use", "research"), ("Cohort", "12 patients <script>alert(1)</script>")],
    [
        Section(
            "Data", "Annex IV, 2 (d)", [("source", "a|b\nc")], [Table("Means", ["region", "Dice"], [["WT", "0.9"]])]
        ),
        Section("Lifecycle", "", notes=["not judged yet"]),
    ],
)


def test_a_card_is_the_same_after_it_was_kept_as_json() -> None:
    kept = ModelCard.from_dict(json.loads(json.dumps(CARD.to_dict(), sort_keys=True)))

    for render in (card_markdown, card_html):
        assert render(kept, version="v1") == render(CARD, version="v1")


def test_text_from_outside_marks_nothing_in_a_card() -> None:
    markdown, page = card_markdown(CARD, version="brats-segmentation v1"), card_html(CARD, version="v1")

    assert "| source | a\\|b\\\\nc |" in markdown
    assert "\\<script\\>" in markdown
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_a_page_loads_nothing_and_names_the_points_of_the_annex() -> None:
    page = card_html(CARD, version="brats-segmentation v1")

    assert not outside_addresses(page)
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "(Annex IV, 2 (d))" in page
    assert page.index("Use:") < page.index("Cohort:")


def test_a_section_replaces_the_one_of_its_title() -> None:
    changed = card_markdown(CARD.with_section(Section("Lifecycle", "", notes=["judged"])), version="v1")

    assert "judged" in changed
    assert "not judged yet" not in changed
