"""The report page: one HTML file that compares all trained models and loads nothing else."""

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from brats_ml.cohort.labels import GLIOMA, LABEL_SETS, LABELS, TITLES, LabelSet
from brats_ml.intervals import Interval
from brats_ml.reports.cases_section import KINDS, CaseRow, failed_cases, sort_keys
from brats_ml.reports.cohort_section import DESCRIBED, Description
from brats_ml.reports.header import Header, Previous
from brats_ml.reports.survival_section import BASELINE_SURVIVAL, DRAWINGS, MaskLoss, Scale
from brats_ml.reports.templating import render

# The figures in the README of the baseline, rastislavkopal/3D_BRAIN_TUMOR_SEGMENTATION.
BASELINE_SEGMENTATION = {
    "baseline_mean_iou": 0.8442,
    "baseline_dice_coef": 0.6253,
    "baseline_dice_necrotic": 0.6001,
    "baseline_dice_edema": 0.7287,
    "baseline_dice_enhancing": 0.6366,
}


@dataclass(frozen=True)
class LeaderboardEntry:
    """One row of a leaderboard.

    Attributes:
        name: The name of the recipe or estimator.
        verdict: The outcome, with the reason if there is no score.
        count: The number of cases or patients of the score.
        score: The score that ranks the entry, with its interval, or None if it was not measured.
        details: All other measurements by name.
    """

    name: str
    verdict: str
    count: int
    score: Interval | None
    details: Mapping[str, Any]


@dataclass(frozen=True)
class FeatureDifference:
    """The difference of a survival feature between reference and predicted label maps of the same cases.

    Attributes:
        name: The name of the feature.
        reference: The mean from reference label maps.
        predicted: The mean from predicted label maps.
        absolute: The mean absolute difference.
    """

    name: str
    reference: float
    predicted: float
    absolute: float


@dataclass(frozen=True)
class Picture:
    """A PNG.

    Attributes:
        caption: What it is, for everyone.
        png: Its bytes.
        alt: What it shows, for those who cannot see it; by default the caption.
        case_id: The case that it shows, if the table of cases links to it.
    """

    caption: str
    png: bytes
    alt: str = ""
    case_id: str | None = None


def comparison_page(
    *,
    header: Header,
    previous: Previous | None,
    cohort: Sequence[Description],
    cohort_pictures: Sequence[Picture],
    recipes: Sequence[LeaderboardEntry],
    estimators: Sequence[LeaderboardEntry],
    nominees: Mapping[str, Mapping[str, str | None]],
    differences: Sequence[FeatureDifference],
    cases_in_both: int,
    standings: Sequence[Picture],
    cases: Sequence[CaseRow],
    planes: Sequence[Picture],
    panels: Sequence[Picture],
    curves: Sequence[Picture],
    scales: Mapping[str, Scale],
    drawings: Mapping[str, Sequence[Picture]],
    mask_loss: MaskLoss | None,
    label_set: LabelSet = LABEL_SETS[GLIOMA],
    known: Mapping[str, int] | None = None,
) -> str:
    """Return the page as HTML.

    Args:
        header: What the figures are about.
        previous: The comparison before this one, or None if this is the first.
        cohort: The description of the training and validation patients.
        cohort_pictures: The figure of the cohort.
        recipes: The recipes, best first. Their `details` are the means of the columns of the evaluation, and the Dice
            from each combination of modalities as `subsets`, where a recipe has learnt to do without some.
        estimators: The estimators, best first. Their `details` are their summaries.
        nominees: The nominees for `segmentation` and `survival`, as in nominees.json.
        differences: The differences of survival features; empty if no case has both kinds of label maps.
        cases_in_both: The number of cases with both kinds of label maps.
        standings: The figure of the leaderboard of recipes, or nothing if no recipe was measured.
        cases: The validation cases of the nominated recipe, the worst first.
        planes: The best, median and worst cases of the nominated recipe.
        panels: Some cases of the nominated recipe.
        curves: One learning curve per recipe.
        scales: What the scores of each estimator of nested cross-validation compare with.
        drawings: The figures of the estimators, by the keys of `DRAWINGS`.
        mask_loss: The loss of the nominated estimator on predicted label maps, or None if it is unknown.
        label_set: The label set of the cohort.
        known: The number of validation cases that know a region, of those regions that not all know.
    """
    some = [
        f"{region} is known of {count} validation case(s), and its mean is over these"
        for region, count in (known or {}).items()
    ]
    return render(
        "comparison.html",
        {"image": _image, "ml": _millilitres},
        header=header,
        previous=previous,
        cohort=cohort,
        cohort_pictures=cohort_pictures,
        parts=DESCRIBED,
        recipes=recipes,
        estimators=estimators,
        nominees=nominees,
        differences=differences,
        cases_in_both=cases_in_both,
        standings=standings,
        cases=cases,
        failed=failed_cases(cases, regions=label_set.regions),
        kinds=KINDS,
        sort_keys=["name", *sort_keys(label_set.regions)],
        anchors={picture.case_id: f"picture-{number}" for number, picture in enumerate(planes, start=1)},
        planes=planes,
        panels=panels,
        curves=curves,
        scales=scales,
        drawings=drawings,
        mask_loss=mask_loss,
        regions=label_set.regions,
        labels=label_set.labels,
        further={label: TITLES[label] for label in label_set.labels if label not in LABELS},
        some=". ".join(some),
        baseline_segmentation=BASELINE_SEGMENTATION,
        baseline_survival=BASELINE_SURVIVAL,
        captions=DRAWINGS,
    )


def _image(picture: Picture) -> Markup:
    source = f"data:image/png;base64,{b64encode(picture.png).decode()}"
    return Markup('<img alt="{}" src="{}">').format(picture.alt or picture.caption, source)


def _millilitres(value_mm3: float) -> str:
    """Return a volume in mL, or a dash if it is unknown; the small tumours of phantoms have two decimals."""
    if math.isnan(value_mm3):
        return "–"  # noqa: RUF001 - tables use an en dash
    value_ml = value_mm3 / 1000
    return f"{value_ml:.{1 if value_ml >= 10 else 2}f}"
