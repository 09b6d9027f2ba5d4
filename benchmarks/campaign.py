"""Compare the labels that a model needs if a reader corrects the cases of the review queue first, or random ones.

A campaign starts with a few labelled cases. In each round, unlabelled cases arrive, the current model predicts all that
wait, the reader corrects some of them, and a new model trains from the start on the grown set. The reader is the
reference. Each model is judged by the mean Dice of the regions on held-out cases that no round touches. Both orders
share cases, first labels and seeds; a training has the same steps in every round.

    python benchmarks/campaign.py          # phantoms; about an hour on two cores
    python benchmarks/campaign.py --real   # the real cases in BRATS_REAL_DATA at half resolution

Finished campaigns are kept in .brats/campaign, so that a second call goes on.

`labels_needed_over_random`: the corrected labels with which the mean Dice over the seeds of our order reaches the one that
the random order has at its end, by linear interpolation between rounds, divided by the labels with which the random
order first reaches it; at most 0.6 is wanted. `..._low`, `..._high`: its 95 % bootstrap over seeds. If our order never
reaches the Dice, its labels count as one round more than it has.
"""

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _frame import ROOT, report, table

# The import of _frame sets variables that TensorFlow reads on import.
# isort: split
from _campaign_cohorts import Cohort, phantoms, real_cases, slim
from _qc_phantoms import predicted
from accuracy import EpochTimes, prepared

from brats_ml import files
from brats_ml.actions.prediction_table import review_list
from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.config import load
from brats_ml.config.quality import Quality
from brats_ml.config.recipes import RegionsRecipe
from brats_ml.imaging.quality.familiarity import case_profile
from brats_ml.models.calibration import Calibration
from brats_ml.models.folder_writer import write_model_folder
from brats_ml.models.quality import judge
from brats_ml.models.quality_fit import HeldOut, calibrate
from brats_ml.models.segmentation import load_segmentation_model
from brats_ml.models.segmentation_method import SegmentationModel
from brats_ml.stages import train_regions
from brats_ml.workspace.outputs import ModelFolder

Curve = list[dict[str, Any]]
Order = Callable[..., list[str]]
# Of a campaign of phantoms.
ROUNDS, FIRST, ARRIVE, CORRECTED, JUDGED = 6, 6, 16, 4, 40
# Of one of real cases, of which all thirteen that may train wait from the start.
REAL_ROUNDS, REAL_FIRST, REAL_CORRECTED = 4, 3, 2
RESAMPLES = 2000


def at_random(waiting: Sequence[str], count: int, *, seed: int, **_: Any) -> list[str]:
    """Choose cases at random."""
    return [str(name) for name in np.random.default_rng([seed, len(waiting)]).permutation(waiting)[:count]]


def by_review(waiting: Sequence[str], count: int, *, records: dict[str, dict[str, Any]], **_: Any) -> list[str]:
    """Choose the first cases of review.csv; if it has too few, those with the lowest score of the rest."""
    rows = [
        {"case_id": name, "patient": name, "qc_score": records[name]["score"], "review": records[name]["review"],
         "review_reasons": "", "WT_ml": 0, "TC_ml": 0, "ET_ml": 0, "flags": ""}
        for name in waiting
    ]  # fmt: skip
    listed = [str(name) for name in review_list(pd.DataFrame(rows))["case_id"]]
    rest = sorted(set(waiting) - set(listed), key=lambda name: (records[name]["score"], name))
    return [*listed, *rest][:count]


ORDERS: dict[str, Order] = {"random": at_random, "review": by_review}


def trained(cohort: Cohort, labelled: Sequence[str], recipe: RegionsRecipe, folder: Path, seed: int) -> SegmentationModel:
    """Return a model that has just been trained on some cases."""
    settings = load(ROOT / "params.yaml").train.model_copy(update={"seed": seed})
    checkpoints = folder / "checkpoints"
    shutil.rmtree(checkpoints, ignore_errors=True)
    checkpoints.mkdir(parents=True)
    network, _ = train_regions.fit(
        recipe, settings, cases=cohort.cases, parts={"train": sorted(labelled), "validation": []}, folder=checkpoints,
        tracked=EpochTimes(lambda: 0.0),  # type: ignore[arg-type]  # has what a training calls
    )  # fmt: skip
    model = ModelFolder(folder / "model")
    write_model_folder(model, [network], recipe, {"verdict": "trained", "key": "campaign", "cases": {}})
    return load_segmentation_model(model, preset="fast")


def outcomes(model: SegmentationModel, cohort: Cohort, names: Sequence[str]) -> dict[str, HeldOut]:
    """Return the predictions of cases."""
    found = {}
    for name in names:
        stored = read_labelled_case(cohort.cases.case(name))
        found[name] = predicted(model, stored.image, stored.label)
    return found


def judged(model: SegmentationModel, cohort: Cohort, labelled: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Return what `brats score` would state of the quality of each prediction."""
    known = [read_labelled_case(cohort.cases.case(name)) for name in labelled]
    profiles = [case_profile(case.image, case.label) for case in known]
    made = calibrate([], part="validation", profiles=profiles, settings=Quality())
    calibration = Calibration.model_validate(made)
    return {name: judge(one.observation, calibration) for name, one in outcomes(model, cohort, names).items()}


def campaign(cohort: Cohort, order: Order, recipe: RegionsRecipe, folder: Path, *, count: int, seed: int) -> Curve:
    """Return the number of corrected labels and the Dice after each round, that before the first one included."""
    labelled, waiting, curve = list(cohort.labelled), [], Curve()
    for arrived in [*cohort.arriving, None]:
        model = trained(cohort, labelled, recipe, folder, seed)
        dice = {name: float(np.mean(list(one.dice.values()))) for name, one in outcomes(model, cohort, cohort.held_out).items()}
        of_kinds = {kind: float(np.mean([dice[name] for name in dice if cohort.kinds[name] == kind])) for kind in sorted(set(cohort.kinds[name] for name in dice))}
        corrected = labelled[len(cohort.labelled):]
        chosen_kinds = {kind: sum(cohort.kinds[name] == kind for name in corrected) for kind in of_kinds}
        curve.append({"labels": len(corrected), "dice": float(np.mean(list(dice.values()))), "kinds": of_kinds, "chosen": chosen_kinds})
        print(curve[-1], flush=True)
        if arrived is None:
            return curve
        waiting += arrived
        records = {} if order is at_random else judged(model, cohort, labelled, waiting)
        chosen = order(waiting, count, records=records, seed=seed)
        labelled += chosen
        waiting = [name for name in waiting if name not in chosen]
    return curve
