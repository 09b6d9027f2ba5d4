from typing import Any

import pytest

from brats_ml.cohort.labels import LABELS, REGIONS
from brats_ml.reports.page import SEED_SEGMENTATION, FeatureDifference, Picture, Standing, comparison_page

DICE = [*(f"dice_{region}" for region in REGIONS), *(f"dice_label_{label}" for label in LABELS), *SEED_SEGMENTATION]
RECIPE = Standing("seed", "evaluated", 3, 0.7, 0.6, 0.8, dict.fromkeys(DICE, 0.7))
UNTRAINED = Standing("seed_mini", "not evaluated: no model was trained", 0, None, None, None, {})
ESTIMATOR = Standing(
    "svm",
    "fitted",
    40,
    0.5,
    0.4,
    0.6,
    {"majority_accuracy": 0.38, "age_only_accuracy": 0.41, "balanced_accuracy": {"mean": 0.47}},
)
NOBODY = {
    "segmentation": {"recipe": None, "reason": "nothing trained"},
    "survival": {"estimator": None, "reason": "nothing fitted"},
}


def page(**changes: Any) -> str:
    empty: dict[str, Any] = dict.fromkeys(
        ("recipes", "estimators", "differences", "standings", "planes", "panels", "curves", "confusions"), ()
    )
    return comparison_page(**{**empty, "nominees": NOBODY, "cases_in_both": 0, **changes})


def test_an_empty_cohort_has_a_page_with_the_reasons() -> None:
    html = page()

    assert "nothing trained" in html
    assert "nothing fitted" in html
    assert "No case has features from both" in html


def test_what_was_not_measured_shows_its_verdict_in_place_of_figures() -> None:
    html = page(recipes=[RECIPE, UNTRAINED])

    assert "0.600 to 0.800" in html
    assert "not evaluated: no model was trained" in html
    assert "None" not in html


def test_a_single_case_shows_its_score_without_an_interval() -> None:
    single = Standing("seed", "evaluated", 1, 0.7, None, None, RECIPE.details)

    html = page(recipes=[single])

    assert "0.700" in html
    assert '<rect x="' not in html


def test_an_estimator_stands_beside_its_baselines_and_the_published_figure() -> None:
    html = page(estimators=[ESTIMATOR])

    for figure in ("0.500", "0.470", "0.380", "0.410", "0.5000"):
        assert f">{figure}</td>" in html


def test_the_seeds_published_row_is_shown_as_published() -> None:
    html = page(recipes=[RECIPE])

    for published in ("0.8442", "0.6253", "0.6001", "0.7287", "0.6366"):
        assert f"<td>{published}</td>" in html


def test_the_published_row_stands_in_the_leaderboard_without_regions_or_interval() -> None:
    row = page(recipes=[RECIPE]).split("published<sup>*</sup>")[1].split("</tr>")[0]

    cells = [cell.split("<")[0] for cell in row.split("<td>")[1:]]
    assert cells == [*["–"] * 3, "", *["–"] * 3, "0.600", "0.729", "0.637"]  # noqa: RUF001 - dashes, as tables set them


def test_pictures_are_embedded_and_described() -> None:
    html = page(panels=[Picture('case "<b>"', b"\x89PNG")])

    assert 'alt="case &#34;&lt;b&gt;&#34;" src="data:image/png;base64,iVBORw=="' in html


@pytest.mark.parametrize(("cases", "words"), [(1, "1 case that has both"), (2, "2 cases that have both")])
def test_differences_of_features_name_the_number_of_cases(cases: int, words: str) -> None:
    html = page(differences=[FeatureDifference("ed_ratio", 0.1, 0.2, 0.125)], cases_in_both=cases)

    assert words in " ".join(html.split())
    assert "0.12500" in html
