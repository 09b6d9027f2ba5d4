"""The comparison of everything that was trained, as one page that needs no network and no second file."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from brats_ml.cohort.labels import LABELS, REGIONS
from brats_ml.intervals import Interval
from brats_ml.reports.survival_section import BASELINE_SURVIVAL, DRAWINGS, MaskLoss

# What the baseline publishes in the README of rastislavkopal/3D_BRAIN_TUMOR_SEGMENTATION.
BASELINE_SEGMENTATION = {
    "baseline_mean_iou": 0.8442,
    "baseline_dice_coef": 0.6253,
    "baseline_dice_necrotic": 0.6001,
    "baseline_dice_edema": 0.7287,
    "baseline_dice_enhancing": 0.6366,
}


@dataclass(frozen=True)
class LeaderboardEntry:
    """One line of a leaderboard.

    Attributes:
        name: Of a recipe or an estimator.
        verdict: What came of it, with the reason where nothing did.
        count: Cases or patients that it was measured on.
        score: What it is ranked by, with its interval; None where it was not measured.
        details: Everything else that was measured, by name.
    """

    name: str
    verdict: str
    count: int
    score: Interval | None
    details: Mapping[str, Any]


@dataclass(frozen=True)
class FeatureDifference:
    """How far a survival feature moves when predicted label maps take the place of reference ones.

    Attributes:
        name: Of the feature.
        reference: Its mean over the cases, from reference label maps.
        predicted: Its mean over the same cases, from predicted label maps.
        absolute: Mean absolute difference over these cases.
    """

    name: str
    reference: float
    predicted: float
    absolute: float


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows."""

    caption: str
    png: bytes


def comparison_page(
    *,
    recipes: Sequence[LeaderboardEntry],
    estimators: Sequence[LeaderboardEntry],
    nominees: Mapping[str, Mapping[str, str | None]],
    differences: Sequence[FeatureDifference],
    cases_in_both: int,
    standings: Sequence[Picture],
    planes: Sequence[Picture],
    panels: Sequence[Picture],
    curves: Sequence[Picture],
    drawings: Mapping[str, Sequence[Picture]],
    mask_loss: MaskLoss | None,
) -> str:
    """Return the page as HTML.

    Args:
        recipes: Best first; `details` hold the mean of every column of the evaluation.
        estimators: Best first; `details` hold what nested cross-validation found.
        nominees: `segmentation` and `survival`, as nominees.json holds them.
        differences: Of the survival features between reference and predicted label maps; empty where no case has both.
        cases_in_both: How many cases have both.
        standings: The recipes with their intervals.
        planes: Best, median and worst case of the nominated recipe.
        panels: Cases of the nominated recipe.
        curves: One learning curve a recipe.
        drawings: Pictures of the estimators, by what they show.
        mask_loss: What the nominated estimator loses on predicted label maps, None where nobody can tell.
    """
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"image": _image, "number": _number}
    return environment.get_template("comparison.html").render(
        recipes=recipes,
        estimators=estimators,
        nominees=nominees,
        differences=differences,
        cases_in_both=cases_in_both,
        standings=standings,
        planes=planes,
        panels=panels,
        curves=curves,
        drawings=drawings,
        mask_loss=mask_loss,
        regions=REGIONS,
        labels=LABELS,
        baseline_segmentation=BASELINE_SEGMENTATION,
        baseline_survival=BASELINE_SURVIVAL,
        captions=DRAWINGS,
    )


def _image(picture: Picture) -> Markup:
    source = f"data:image/png;base64,{b64encode(picture.png).decode()}"
    return Markup('<img alt="{}" src="{}">').format(picture.caption, source)


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"  # noqa: RUF001 - a dash, as tables set it
