import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from brats_ml.cohort.labels import LABEL_SETS, LABELS, REGIONS
from brats_ml.intervals import Interval
from brats_ml.reports.cases_section import case_rows, sort_keys
from brats_ml.reports.cohort_section import Description
from brats_ml.reports.header import Header, Previous, ScoreChange
from brats_ml.reports.page import BASELINE_SEGMENTATION, FeatureDifference, LeaderboardEntry, Picture, comparison_page
from brats_ml.reports.survival_section import MaskLoss, Scale

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier")
DICE = [*(f"dice_{region}" for region in REGIONS), *(f"dice_label_{label}" for label in LABELS), *BASELINE_SEGMENTATION]
RECIPE = LeaderboardEntry("baseline", "evaluated", 3, Interval(0.7, 0.6, 0.8, "t"), dict.fromkeys(DICE, 0.7))
UNTRAINED = LeaderboardEntry("baseline_mini", "not evaluated: no model was trained", 0, None, {})
ESTIMATOR = LeaderboardEntry(
    "svm",
    "fitted",
    40,
    Interval(0.5, 0.4, 0.6, "corrected t"),
    {
        "protocol": "nested",
        "masks": "reference",
        "best": {"C": 1},
        "calibration_error": {"mean": 0.05, "low": 0.02, "high": 0.09, "method": "percentile bootstrap"},
        "age_only_calibration_error": 0.04,
        "against_age_only": {
            "folds": {"mean": 0.01, "low": -0.05, "high": 0.07, "method": "corrected t", "p": 0.71},
            "patients": {"mean": 0.01, "low": -0.04, "high": 0.06, "method": "percentile bootstrap"},
            "beaten": False,
        },
        "log_loss_against_age_only": {
            "folds": {"mean": 0.01, "low": -0.05, "high": 0.07, "method": "corrected t", "p": 0.71},
            "patients": {"mean": 0.01, "low": -0.04, "high": 0.06, "method": "percentile bootstrap"},
            "beaten": False,
        },
        **{
            f"{row}{score}": 0.41 if row == "age_only_" else 0.38
            for row in ("majority_", "age_only_")
            for score in SCORES
        },
        **{score: {"mean": 0.47, "low": 0.4, "high": 0.55} for score in SCORES},
    },
)
NOBODY = {
    "segmentation": {"recipe": None, "reason": "nothing trained"},
    "survival": {"estimator": None, "reason": "nothing fitted"},
}


SCALE = Scale(0.031, 0.072, {"mean_squared_error": 74594.2, "median_squared_error": 16932.1})
HEADER = Header(
    date="2026-01-31",
    commit="0123456789abcdef",
    dirty=False,
    source="phantom",
    cohort="feed",
    synthetic=True,
    cases=3,
    releases={"brats2023": 3},
    patients={"train": 1, "validation": 1, "test": 1},
    runs={"baseline": "cafe"},
    validation="../data/validation/index.html",
)


def page(**changes: Any) -> str:
    empty: dict[str, Any] = dict.fromkeys(
        ("recipes", "estimators", "differences", "standings", "cases", "planes", "panels", "curves"), ()
    )
    empty |= dict.fromkeys(("cohort", "cohort_pictures"), ())
    rest = {"header": HEADER, "previous": None, "nominees": NOBODY, "cases_in_both": 0, "drawings": {}}
    rest |= {"mask_loss": None, "scales": {"svm": SCALE, "cox": SCALE}}
    return comparison_page(**{**empty, **rest, **changes})


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


def test_the_page_names_the_methods_of_its_intervals() -> None:
    html = " ".join(page(recipes=[RECIPE, UNTRAINED], estimators=[ESTIMATOR]).split())

    assert "95 % interval of the mean over cases (method: t)" in html
    assert "accounts for this (corrected t)" in html
    assert "its interval is over patients (percentile bootstrap)" in html
    assert "Interval over folds: corrected t; p is two-sided. Interval over patients: percentile bootstrap, for" in html


def test_the_cost_of_missing_modalities_is_shown_where_it_is_known() -> None:
    dice = {"flair+t1+t1ce+t2": {"WT": 0.9, "TC": 0.8, "ET": 0.71}, "flair": {"WT": 0.8, "TC": 0.5, "ET": 0.032}}
    measured = replace(RECIPE, details={**RECIPE.details, "subsets": {"cases": ["a", "b"], "dice": dice}})

    html = page(recipes=[measured, UNTRAINED])

    assert "on 2 validation case(s) from each combination of the modalities" in html
    assert '<th scope="row">flair</th><td>0.800</td><td>0.500</td><td>0.032</td>' in html
    assert "each combination" not in page(recipes=[RECIPE])


def test_a_single_case_shows_its_score_without_an_interval() -> None:
    single = LeaderboardEntry("baseline", "evaluated", 1, Interval(0.7, None, None, None), RECIPE.details)

    html = page(recipes=[single])

    assert "0.700" in html
    assert '<rect x="' not in html


def test_an_estimator_is_shown_with_its_baselines_and_the_published_figure() -> None:
    html = page(estimators=[ESTIMATOR])

    for figure in ("0.380", "0.410", "0.010", "-0.050 to 0.070", "0.71", "no"):
        assert f">{figure}</td>" in html
    for estimate in ('0.500<span class="range">0.400 to 0.600', '0.470<span class="range">0.400 to 0.550'):
        assert f"<td>{estimate}</span></td>" in html
    assert "0.5000 (svm, Wilson 0.314 to 0.686)" in html


def test_a_model_of_time_is_shown_with_cox_on_age() -> None:
    days = {
        name: {
            "mean": 0.61,
            "low": 0.5,
            "high": 0.7,
            "method": "percentile bootstrap",
            "age_only": 0.63,
            "minus_age_only": {"mean": -0.02, "low": -0.06, "high": 0.03},
        }
        for name in ("mean_squared_error", "median_squared_error", "spearman", "concordance")
    }
    timed = replace(ESTIMATOR, name="cox", details={**ESTIMATOR.details, "days": days})

    html = page(estimators=[timed])

    assert "Cox on age alone" in html
    assert "<td>0.630</td>" in html
    assert '<td>-0.020<span class="range">-0.060 to 0.030</span></td>' in html
    assert '<th scope="row">mean of the other patients</th><td>74594</td>' in html
    assert "Cox on age alone" not in page(estimators=[ESTIMATOR])


def test_the_baselines_protocol_is_shown_with_its_published_figures() -> None:
    details = {
        "protocol": "baseline",
        "best": {"criterion": "gini", "n_estimators": 1},
        "search_accuracy": 0.3959,
        "other_orders": {"least": 0.21, "greatest": 0.42},
        "importance": {"age_years": 0.25},
    }

    html = page(
        estimators=[LeaderboardEntry("random_forest", "reproduced", 24, Interval(0.5, 0.314, 0.686, "Wilson"), details)]
    )

    for figure in ("0.3959", "0.5000", "0.314 to 0.686", "0.21 to 0.42", "0.4234", "0.4583", "0.279 to 0.649"):
        assert f"<td>{figure}</td>" in html
    assert "criterion gini, n_estimators 1" in html
    assert "Against age alone" not in html


@pytest.mark.parametrize("synthetic", [True, False])
def test_what_predicted_masks_cost_is_labelled_where_patients_are_synthetic(synthetic: bool) -> None:
    html = " ".join(
        page(
            mask_loss=MaskLoss("svm", "baseline_mini", 8, 0.625, 0.5, Interval(0.125, -0.1, 0.4, "t"), synthetic)
        ).split()
    )

    assert "The accuracy is 0.625 from reference label maps and 0.500 from predicted ones." in html
    assert "The loss is 0.125 (-0.100 to 0.400, t over patients)" in html
    assert ("These patients are synthetic" in html) is synthetic


def test_pictures_of_estimators_stand_below_what_they_show() -> None:
    html = page(drawings={"kaplan_meier": [Picture("svm", b"\x89PNG")]})

    assert "<h3>Survival of the predicted groups</h3>" in html
    assert 'alt="svm"' in html


def test_the_baselines_published_row_is_shown_as_published() -> None:
    html = page(recipes=[RECIPE])

    for published in ("0.8442", "0.6253", "0.6001", "0.7287", "0.6366"):
        assert f"<td>{published}</td>" in html


def test_the_published_row_is_in_the_leaderboard_without_regions_or_interval() -> None:
    row = page(recipes=[RECIPE]).split("published<sup>*</sup>")[1].split("</tr>")[0]

    cells = [cell.split("<")[0] for cell in row.split("<td>")[1:]]
    assert cells == [*["–"] * 3, "", *["–"] * 3, "0.600", "0.729", "0.637"]  # noqa: RUF001 - dashes, as tables set them


def test_pictures_are_embedded_and_described() -> None:
    html = page(panels=[Picture('case "<b>"', b"\x89PNG")])

    assert 'alt="case &#34;&lt;b&gt;&#34;" src="data:image/png;base64,iVBORw=="' in html


@pytest.mark.parametrize(("cases", "words"), [(1, "the 1 case with both"), (2, "the 2 cases with both")])
def test_differences_of_features_name_the_number_of_cases(cases: int, words: str) -> None:
    html = page(differences=[FeatureDifference("ed_ratio", 0.1, 0.2, 0.125)], cases_in_both=cases)

    assert words in " ".join(html.split())
    assert "0.12500" in html


CASES = pd.DataFrame(
    {
        "case_id": ["good", "bad", "odd"],
        "patient": ["good", "bad", "odd"],
        **{f"dice_{region}": [0.9, 0.2, 0.6] for region in REGIONS},
        **{f"hd95_{region}": [1.0, 9.0, 30.0] for region in REGIONS},
        **{f"volume_mm3_{region}": [12345.0, 900.0, 700.0] for region in REGIONS},
        **{f"reference_volume_mm3_{region}": [12000.0, 1000.0, 700.0] for region in REGIONS},
    }
)


def test_the_cases_are_listed_worst_first_with_scores_and_a_link_to_the_picture() -> None:
    html = page(cases=case_rows(CASES), planes=[Picture("worst case", b"", "", "bad")])

    assert re.findall(r'role="rowheader">(?:<a href="(.*?)">)?(\w+)<', html) == [
        ("#picture-1", "bad"),
        ("", "odd"),
        ("", "good"),
    ]
    assert '<figure id="picture-1">' in html
    for cell in ("0.200", "9.0", "12.3 / 12.0", "0.90 / 1.00"):
        assert f'<td role="cell">{cell}</td>' in html


def test_a_button_orders_the_cases_by_each_column_without_a_script() -> None:
    html = page(cases=case_rows(CASES))

    assert html.count('type="radio" name="order"') == len(sort_keys()) + 1
    assert (
        html.count('type="radio" name="order" id="order-2" aria-label="order by mean Dice of the regions" checked') == 1
    )
    number = ["name", *sort_keys()].index("hd95_WT") + 1
    assert f".cases:has(#order-{number}:checked) tbody tr {{ order: var(--o{number}); }}" in html
    assert f"--o{number}:1;" in html.split('<tr role="row" style="')[2]  # the largest distance is that of `odd`
    assert f'id="order-{number}" aria-label="order by HD95 of WT"' in html


def test_a_cohort_with_a_cavity_has_a_column_for_it_and_says_over_how_many_cases_its_mean_is() -> None:
    label_set = LABEL_SETS["glioma-post-treatment"]
    further = {f"{metric}_RC": [0.5, 0.5, None] for metric in ("dice", "hd95", "volume_mm3", "reference_volume_mm3")}

    html = page(
        cases=case_rows(CASES.assign(**further), regions=label_set.regions),
        recipes=[RECIPE],
        label_set=label_set,
        known={"RC": 2},
    )

    assert "grid-template-columns: repeat(15, auto)" in html
    assert html.count('<th scope="colgroup" role="columnheader" colspan="4">') == 2
    assert html.count('type="radio" name="order"') == len(sort_keys(label_set.regions)) + 1
    assert html.count('<td role="cell">–</td>') == 2  # noqa: RUF001 - tables use an en dash
    assert "RC is the resection cavity, no part of WT." in html
    assert "RC is known of 2 validation case(s), and its mean is over these." in html


def test_failures_are_counted_by_kind_and_region_with_their_cases() -> None:
    html = page(cases=case_rows(CASES))

    assert re.search(r'<th scope="row">overlap</th>.*<td>1</td><td>1</td><td>1</td>\s*<td class="text">bad</td>', html)
    assert re.search(r'<th scope="row">distance</th>.*<td>1</td><td>1</td><td>1</td>\s*<td class="text">odd</td>', html)
    assert re.search(r'<th scope="row">missed</th>.*<td>0</td><td>0</td><td>0</td>\s*<td class="text">–</td>', html)  # noqa: RUF001


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_banner_warns_of_synthetic_patients_alone(synthetic: bool) -> None:
    assert ("The patients are synthetic" in page(header=replace(HEADER, synthetic=synthetic))) is synthetic


def test_the_header_has_date_commit_cohort_releases_split_and_runs() -> None:
    strip = page().split('<dl class="strip">')[1].split("</dl>")[0]

    for text in ("2026-01-31", "0123456789ab<", "phantom", "brats2023 (3)", "1 locked test", "baseline <code>cafe"):
        assert text in strip
    assert "unknown" not in strip
    assert "unknown" in page(header=replace(HEADER, date=None, commit=None))


def test_the_contents_lead_to_every_section() -> None:
    html = page(cases=case_rows(CASES), recipes=[RECIPE], planes=[Picture("a", b"")], curves=[Picture("a", b"")])

    contents = re.findall('<li><a href="#(.*?)">', html)
    assert len(contents) == 10
    assert set(contents) <= set(re.findall(r'<h[23] id="(.*?)"', html))


def test_every_table_has_a_caption_and_every_heading_of_one_its_scope() -> None:
    html = page(
        recipes=[RECIPE],
        estimators=[ESTIMATOR],
        cases=case_rows(CASES),
        cohort=[Description("age", {"train": "50", "validation": "60"})],
        previous=Previous("2026-01-30", None, True, "baseline", [ScoreChange("svm", "accuracy", 0.5, None)], 0, None),
        differences=[FeatureDifference("ed_ratio", 0.1, 0.2, 0.125)],
        cases_in_both=1,
    )

    assert html.count("<table") == html.count("<caption>") == html.count("</table>") == 9
    assert [tag for tag in re.findall("<th[ >].*?>", html) if "scope=" not in tag] == []


def test_no_figure_needs_a_pointer() -> None:
    html = page(recipes=[RECIPE], estimators=[ESTIMATOR])

    assert "title=" not in html
    assert '0.050<span class="range">0.020 to 0.090</span>' in html


def test_the_calibration_error_is_shown_with_that_of_a_perfect_model() -> None:
    assert '<td>0.031<span class="range">95 %: to 0.072</span></td>' in page(estimators=[ESTIMATOR])


def test_a_previous_run_of_another_cohort_is_named_as_not_comparable() -> None:
    changes = [ScoreChange("svm", "accuracy", 0.5, 0.4), ScoreChange("new", "accuracy", None, 0.4)]
    found = Previous("2026-01-30", "fedcba9876543210", False, "baseline", changes, 4, Interval(-0.1, -0.3, 0.1, "t"))

    html = " ".join(page(previous=found).split())

    assert "<code>fedcba987654</code> of 2026-01-30, on another cohort, so its figures are not comparable" in html
    assert "differs by -0.100 from that of baseline (95 % interval -0.300 to +0.100, method: t)" in html
    assert "<td>0.500</td><td>0.400</td> <td>-0.100</td>" in html
    assert "<td>–</td><td>0.400</td> <td>–</td>" in html  # noqa: RUF001
