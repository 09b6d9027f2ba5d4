"""The part of the comparison about single cases of recipes: their scores, their pictures and the learning curves."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brats_ml.adapters.tables import frames
from brats_ml.cohort.labels import LabelSet
from brats_ml.intervals import Interval, by_patient, mean_interval
from brats_ml.reports import alternatives
from brats_ml.reports.cases_section import CaseRow, case_rows
from brats_ml.reports.curves import learning_curve
from brats_ml.reports.leaderboard import leaderboard_figure
from brats_ml.reports.page import LeaderboardEntry, Picture
from brats_ml.reports.panels import figure_png
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import NOTABLE_RANKS, WORST_RANKS

PANELS = 3
ORDINALS = ("second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def rows(ws: Workspace, recipe: str | None, label_set: LabelSet) -> list[CaseRow]:
    """Return the validation cases of a recipe, the worst first; none without a recipe."""
    if recipe is None:
        return []
    return case_rows(frames.read_csv(ws.evaluation("validation", recipe).cases), regions=label_set.regions)


def mean_dice(cases: pd.DataFrame, label_set: LabelSet) -> NDArray[np.float64]:
    """Return the mean Dice of each case over the regions that are known of it."""
    dice = cases[[f"dice_{region}" for region in label_set.regions]].to_numpy(dtype=np.float64)
    return np.asarray(np.nanmean(dice, axis=1) if np.isnan(dice).any() else dice.mean(axis=1))


def planes(ws: Workspace, recipe: str | None, cases: Sequence[CaseRow]) -> list[Picture]:
    """Return the pictures of the best, the median and the worst validation cases of a recipe, in this order."""
    if recipe is None:
        return []
    folder = ws.evaluation("validation", recipe)
    scores = {row.case_id: row.scores for row in cases}
    found = []
    for rank in dict.fromkeys([*NOTABLE_RANKS, *WORST_RANKS]):
        for case_id, path in folder.ranked_planes(rank).items():
            alt = alternatives.of_planes(case_id, recipe, scores[case_id]) if case_id in scores else ""
            caption = f"{_words(rank)} validation case of {recipe}: {case_id}"
            found.append(Picture(caption, path.read_bytes(), alt, case_id))
    return found


def panels(ws: Workspace, recipe: str | None) -> list[Picture]:
    """Return the pictures of the first validation cases of a recipe, label by label."""
    if recipe is None:
        return []
    shown = "Axial slice of {} in six panels: FLAIR, the reference, the prediction of {}, and each predicted label"
    return [
        Picture(f"{path.stem}, predicted by {recipe}", path.read_bytes(), shown.format(path.stem, recipe))
        for path in ws.evaluation("validation", recipe).drawn()[:PANELS]
    ]


def leaderboard_picture(ws: Workspace, recipes: Sequence[LeaderboardEntry], label_set: LabelSet) -> list[Picture]:
    """Return the leaderboard as a picture, or none where no recipe has a score."""
    measured = [recipe.name for recipe in recipes if recipe.score is not None]
    if not measured:
        return []
    tables = {name: frames.read_csv(ws.evaluation("validation", name).cases) for name in measured}
    regions = [
        region
        for region in label_set.regions
        if all(table[f"dice_{region}"].notna().any() for table in tables.values())
    ]
    measures = ("mean of regions", *regions)
    estimates = {name: _estimates(table, regions, label_set) for name, table in tables.items()}
    figure = leaderboard_figure(estimates, measures)
    alt = alternatives.of_leaderboard(estimates, measures)
    return [Picture("Mean Dice of each recipe with its 95 % interval", figure_png(figure), alt)]


def curves(ws: Workspace, recipes: Sequence[LeaderboardEntry]) -> list[Picture]:
    """Return the learning curve of each recipe that was trained."""
    histories = {recipe.name: frames.read_csv(ws.history(recipe.name)) for recipe in recipes}
    return [
        Picture(name, figure_png(learning_curve(history)), alternatives.of_learning_curve(name, history))
        for name, history in histories.items()
        if not history.empty
    ]


def _words(rank: str) -> str:
    """Return a rank in words: `worst-2` is the second worst."""
    name, _, place = rank.partition("-")
    return f"{ORDINALS[int(place) - 2]} {name}" if place else rank


def _estimates(cases: pd.DataFrame, regions: Sequence[str], label_set: LabelSet) -> list[Interval]:
    """Return the intervals of the mean and of each region; a region counts the cases that know it."""
    scores = pd.DataFrame(
        {"mean": mean_dice(cases, label_set), **{region: cases[f"dice_{region}"] for region in regions}}
    )
    known = [scores[name].dropna() for name in scores]
    return [
        mean_interval(by_patient(one.to_numpy(dtype=np.float64), cases["patient"][one.index].tolist()), scale=(0, 1))
        for one in known
    ]
