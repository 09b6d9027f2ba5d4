"""Rank recipes and estimators, nominate the best ones for the gate, and write the report; no test case is read."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from brats_ml import files
from brats_ml.adapters.tables import frames
from brats_ml.cohort.labels import GLIOMA, LABEL_SETS, LabelSet
from brats_ml.config import Params
from brats_ml.dataset.label_sets import of_manifest
from brats_ml.intervals import by_patient, mean_interval
from brats_ml.report import Report
from brats_ml.reports.page import FeatureDifference, LeaderboardEntry, comparison_page
from brats_ml.stages import compare_cases, compare_header, compare_previous, compare_survival, compare_survival_pictures
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ReportsFolder


def run(ws: Workspace, params: Params) -> Report:
    """Write leaderboard.csv, nominees.json and index.html; without a model they say why there is none."""
    label_set = of_manifest(ws.validation)
    recipes = ranked([_recipe(ws, name, label_set) for name in params.train.recipes])
    estimators = ranked([compare_survival.leaderboard_entry(ws, name) for name in params.survival.estimators])
    recipe, recipe_reason = nominee(recipes, label_set)
    refused = compare_survival.why_none(params)
    estimator, estimator_reason = (None, refused) if refused else compare_survival.nominee(estimators)
    nominees = {
        "segmentation": {"recipe": recipe, "reason": recipe_reason},
        "survival": {"estimator": estimator, "reason": estimator_reason},
    }
    header = compare_header.header(ws, params)
    cases = compare_cases.rows(ws, recipe, label_set)
    reference, predicted = frames.read_csv(ws.features("reference")), frames.read_csv(ws.features("predicted"))
    parts = files.read_json(ws.splits)["patients"]
    seen = reference[reference["patient"].map(parts) != "test"]
    differences, cases_in_both = feature_differences(seen, predicted)
    described, cohort_pictures = compare_header.cohort(ws, reference)
    ranking = leaderboard(recipes, estimators, compare_survival.MEASURE[params.survival.protocol])
    present = compare_previous.record(
        header, recipe, _scores(ranking, estimators), {row.case_id: row.scores["dice"] for row in cases}
    )
    before = compare_previous.remember(ws, present)
    page = comparison_page(
        header=header,
        previous=compare_previous.previous(before, present, seed=params.survival.seed),
        cohort=described,
        cohort_pictures=cohort_pictures,
        recipes=recipes,
        estimators=estimators,
        nominees=nominees,
        differences=differences,
        cases_in_both=cases_in_both,
        standings=compare_cases.leaderboard_picture(ws, recipes, label_set),
        cases=cases,
        planes=compare_cases.planes(ws, recipe, cases),
        panels=compare_cases.panels(ws, recipe),
        curves=compare_cases.curves(ws, recipes),
        scales=compare_survival.scales(ws, params, estimators),
        drawings=compare_survival_pictures.pictures(ws, estimators, reference),
        mask_loss=compare_survival.mask_loss(ws, params, estimator, reference, predicted),
        label_set=label_set,
        known=_known(ws, recipe, label_set),
    )
    with files.replacing(ws.reports) as unfinished:
        folder = ReportsFolder(unfinished)
        frames.write_csv(folder.leaderboard, ranking)
        files.write_json(folder.nominees, nominees)
        folder.page.path.write_text(page, encoding="utf-8")
    return Report("compare", f"nominated {recipe or 'no recipe'} and {estimator or 'no estimator'}")


def ranked(entries: Sequence[LeaderboardEntry]) -> list[LeaderboardEntry]:
    """Return entries best first, equal ones in the order given, those without a score last."""
    return sorted(entries, key=lambda entry: -np.inf if entry.score is None else entry.score.mean, reverse=True)


def nominee(recipes: Sequence[LeaderboardEntry], label_set: LabelSet = LABEL_SETS[GLIOMA]) -> tuple[str | None, str]:
    """Return the name of the best recipe and the reason; or None and why there is none.

    Args:
        recipes: Recipes, best first.
        label_set: The label set of the cohort.
    """
    *regions, last = label_set.regions
    best = recipes[0]
    if best.score is None:
        return None, "; ".join(dict.fromkeys(recipe.verdict for recipe in recipes))
    named = f"{', '.join(regions)} and {last}"
    return best.name, f"highest mean Dice of {named}, {best.score.mean:.3f} on {best.count} validation cases"


def leaderboard(
    recipes: Sequence[LeaderboardEntry], estimators: Sequence[LeaderboardEntry], estimator_measure: str
) -> pd.DataFrame:
    """Return one row a recipe and estimator: kind, name, score with its 95 % interval, count, verdict.

    Args:
        recipes: Recipes, best first.
        estimators: Estimators, best first.
        estimator_measure: Name of the estimators' score.
    """
    rows = [
        {
            "kind": kind,
            "name": entry.name,
            "measure": measure,
            **(asdict(entry.score) if entry.score else {}),
            "count": entry.count,
            "verdict": entry.verdict,
        }
        for kind, measure, entries in (
            ("segmentation", "mean region Dice, validation", recipes),
            ("survival", estimator_measure, estimators),
        )
        for entry in entries
    ]
    columns = ["kind", "name", "measure", "mean", "low", "high", "method", "count", "verdict"]
    table = pd.DataFrame(rows, columns=columns).rename(columns={"mean": "score", "method": "interval"})
    figures = ["score", "low", "high"]
    return table.astype(dict.fromkeys(figures, "float64")).round(dict.fromkeys(figures, 4))


def _scores(ranking: pd.DataFrame, estimators: Sequence[LeaderboardEntry]) -> list[dict[str, Any]]:
    """Return name, measure and score of each recipe and estimator, for the report of the next comparison."""
    rows = ranking[["name", "measure", "score"]].to_dict("records")
    losses = [
        {"name": entry.name, "measure": "log loss", "score": round(entry.details["log_loss"]["mean"], 4)}
        for entry in estimators
        if "log_loss" in entry.details
    ]
    found = [{str(key): value for key, value in row.items()} for row in rows] + losses
    return [{**row, "score": None if pd.isna(row["score"]) else row["score"]} for row in found]


def feature_differences(reference: pd.DataFrame, predicted: pd.DataFrame) -> tuple[list[FeatureDifference], int]:
    """Return how the volume ratios of the cases in both tables differ, and the number of these cases."""
    both = reference.merge(predicted, on="case_id", suffixes=("_reference", "_predicted"))
    if both.empty:
        return [], 0
    names = [str(name) for name in reference if str(name).endswith("_ratio")]
    pairs = {name: (both[f"{name}_reference"], both[f"{name}_predicted"]) for name in names}
    differences = [
        FeatureDifference(name, float(old.mean()), float(new.mean()), float((old - new).abs().mean()))
        for name, (old, new) in pairs.items()
    ]
    return differences, len(both)


def _known(ws: Workspace, recipe: str | None, label_set: LabelSet) -> dict[str, int]:
    """Return how many validation cases know a region, for the regions that not all know."""
    known = {} if recipe is None else files.read_json(ws.evaluation("validation", recipe).summary).get("known", {})
    return {region: known[f"dice_{region}"] for region in label_set.regions if f"dice_{region}" in known}


def _recipe(ws: Workspace, name: str, label_set: LabelSet) -> LeaderboardEntry:
    folder = ws.evaluation("validation", name)
    summary = files.read_json(folder.summary)
    if not summary["cases"]:
        return _unmeasured(name, summary["verdict"])
    cases = frames.read_csv(folder.cases)
    scores = by_patient(compare_cases.mean_dice(cases, label_set), cases["patient"].tolist())
    score = mean_interval(scores, scale=(0, 1))
    # Of recipes that have learnt to do without a modality.
    subsets = {"subsets": files.read_json(folder.modalities)} if folder.modalities.path.exists() else {}
    return LeaderboardEntry(name, summary["verdict"], summary["cases"], score, {**summary["mean"], **subsets})


def _unmeasured(name: str, verdict: str) -> LeaderboardEntry:
    return LeaderboardEntry(name, verdict, 0, None, {})
