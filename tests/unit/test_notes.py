import pytest

from brats_ml.adapters.tracking.notes import with_lines


def test_lines_stand_above_what_a_person_wrote_in_their_order() -> None:
    said = with_lines("Mine.\n\nAlso mine.", {"Use": "research", "Ledger": "champion"})

    assert said == "**Ledger:** champion\n\n**Use:** research\n\nMine.\n\nAlso mine."


def test_a_line_replaces_the_one_before_it_and_the_others_stay() -> None:
    first = with_lines(None, {"Use": "research", "Verdict": "HOLD"})

    assert with_lines(first, {"Verdict": "PROMOTE"}) == "**Use:** research\n\n**Verdict:** PROMOTE"
    assert with_lines(first, {}) == first


@pytest.mark.parametrize("text", ["two\nlines", "a\x1b[2Jscreen"])
def test_a_line_is_one_line_of_visible_characters(text: str) -> None:
    said = with_lines("below", {"Use": text})

    assert said.split("\n\n") == [f"**Use:** {text.encode('unicode_escape').decode()}", "below"]
