"""The part of the comparison about single cases of recipes: their scores, their pictures and the learning curves."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from brats_ml.adapters.tables import frames
from brats_ml.cohort.labels import REGIONS
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
MEASURES = ("mean of regions", *REGIONS)


def rows(ws: Workspace, recipe: str | None) -> list[CaseRow]:
    """Return the validation cases of a recipe, the worst first; none without a recipe."""
    return [] if recipe is None else case_rows(frames.read_csv(ws.evaluation("validation", recipe).cases))


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


def leaderboard_picture(ws: Workspace, recipes: Sequence[LeaderboardEntry]) -> list[Picture]:
    """Return the leaderboard as a picture, or none where no recipe has a score."""
    measured = [recipe.name for recipe in recipes if recipe.score is not None]
    if not measured:
        return []
    tables = {name: frames.read_csv(ws.evaluation("validation", name).cases) for name in measured}
    estimates = {name: _estimates(table) for name, table in tables.items()}
    figure = leaderboard_figure(estimates, MEASURES)
    alt = alternatives.of_leaderboard(estimates, MEASURES)
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


def _estimates(cases: pd.DataFrame) -> list[Interval]:
    dice = cases[[f"dice_{region}" for region in REGIONS]].to_numpy(dtype=np.float64)
    columns = [dice.mean(axis=1), *dice.T]
    patients = cases["patient"].tolist()
    return [mean_interval(by_patient(scores, patients), scale=(0, 1)) for scores in columns]
