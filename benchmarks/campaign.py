"""Compare the labels that a model needs if a reader corrects the worst cases of the review list first, or random ones.

A campaign starts with a few labelled cases. In each round unlabelled cases arrive, the model predicts all that wait,
the reader corrects some of them, and a new model trains from the start on the grown set, for as many steps as any
other. The reader is the reference. Each model is judged by the mean Dice of the regions on held-out cases that no round
touches. Both orders share cases, first labels and seeds.

    python benchmarks/campaign.py          # phantoms
    python benchmarks/campaign.py --real   # the real cases in BRATS_REAL_DATA, at half resolution
    python benchmarks/campaign.py --seeds 4

Finished rounds are kept in .brats/campaign, so that a second call goes on from there.

- `labels_needed_over_random`: the labels with which the mean curve of our order reaches the Dice that the random order
  has at its end, divided by those with which the random order first reaches it; between rounds by linear interpolation.
  At most 0.6 is wanted. If our order never reaches it, its labels count as one round more than it has. If the random
  order gains nothing, there is no such figure.
- `..._by_kind`: the same for the mean over the kinds of cases, each of which counts alike.
- `labels_needed_low`, `labels_needed_high`: 95 % of the ratios if seeds are drawn with replacement.
- `end_..._dice`: of both orders after the last round; `start_dice`: before the first one.
- `random_gains_in`: share of the draws of seeds in which the random order ends higher than it starts.
"""

import argparse
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
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
from numpy.typing import NDArray

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
from brats_ml.workspace.artefact import Artefact
from brats_ml.workspace.outputs import ModelFolder

Round = dict[str, Any]
Order = Callable[..., list[str]]
# Of phantoms.
ROUNDS, FIRST, ARRIVE, CORRECTED, JUDGED = 4, 6, 15, 5, 50
# Of real cases: all thirteen that may train wait from the start, less the first ones.
REAL_ROUNDS, REAL_FIRST, REAL_CORRECTED = 4, 3, 2
RESAMPLES = 2000


def at_random(waiting: Sequence[str], count: int, *, seed: int, **_: Any) -> list[str]:
    """Choose cases at random."""
    return [str(name) for name in np.random.default_rng([seed, len(waiting)]).permutation(waiting)[:count]]


def by_review(waiting: Sequence[str], count: int, *, records: dict[str, dict[str, Any]], **_: Any) -> list[str]:
    """Choose the first cases of review.csv; if it has too few, those with the lowest score of the others."""
    empty = dict.fromkeys(("review_reasons", "WT_ml", "TC_ml", "ET_ml", "flags"), "")
    rows = [
        {"case_id": name, "patient": name, "qc_score": records[name]["score"], "review": records[name]["review"]}
        | empty
        for name in waiting
    ]
    listed = [str(name) for name in review_list(pd.DataFrame(rows))["case_id"]]
    rest = sorted(set(waiting) - set(listed), key=lambda name: (records[name]["score"], name))
    return [*listed, *rest][:count]


# The first one judges the waiting cases, so its first model serves the other order, too.
ORDERS: dict[str, Order] = {"review": by_review, "random": at_random}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", action="store_true", help="real cases in place of phantoms")
    parser.add_argument("--seeds", type=int, default=4, help="campaigns")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1500, help="steps of each training")
    options = parser.parse_args()
    count = REAL_CORRECTED if options.real else CORRECTED
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    pairs = [
        {order: curve(seed, order, real=options.real, count=count, steps=options.steps) for order in ORDERS}
        for seed in seeds
    ]
    curves = {order: [pair[order] for pair in pairs] for order in ORDERS}
    show(curves)
    report(**compared(curves, count))


def curve(seed: int, order: str, *, real: bool, count: int, steps: int) -> list[Round]:
    """Return the rounds of a campaign, from the model before the first one on."""
    home = ROOT / f".brats/campaign/{'real' if real else 'phantoms'}-{seed}"
    if real:
        cohort = real_cases(prepared(os.environ.get("BRATS_REAL_DATA")), seed, rounds=REAL_ROUNDS, first=REAL_FIRST)
        recipe = slim(patch=[80, 96], batch=4, filters=[16, 32, 64, 96], epochs=1, epoch_steps=steps, ema=0.95)
    else:
        cohort = phantoms(home / "cases", seed, rounds=ROUNDS, first=FIRST, arrive=ARRIVE, held_out=JUDGED)
        recipe = phantom_recipe(steps)
    learner = Learner(cohort, recipe, home, seed)
    labelled, waiting = list(cohort.labelled), list[str]()
    rounds: list[Round] = []
    for arrived in [*cohort.arriving, None]:
        waiting += arrived or []
        found = learner.round(labelled, waiting if order == "review" and arrived is not None else [])
        rounds.append(found["measured"])
        print(seed, order, rounds[-1], flush=True)
        if arrived is not None:
            chosen = ORDERS[order](waiting, count, records=found["records"], seed=seed)
            labelled += chosen
            waiting = [name for name in waiting if name not in chosen]
    return rounds


def phantom_recipe(steps: int) -> RegionsRecipe:
    """Return a small 2D recipe; phantoms need neither turns nor neighbours nor the mirror side."""
    given = slim()
    return slim(
        patch=[32, 32],
        batch=8,
        filters=[16, 32, 64],
        epochs=1,
        epoch_steps=steps,
        ema=0.9,
        neighbours=0,
        contralateral=False,
        augmentation=given.augmentation.model_copy(update={"spatial_share": 0.0}),
        optimizer=given.optimizer.model_copy(update={"learning_rate": 1e-2}),
    )


@dataclass(frozen=True)
class Learner:
    """Trains models on growing sets, and keeps what each round gave.

    Attributes:
        cohort: The cases.
        recipe: How every model trains.
        home: The folder of what is kept.
        seed: The seed of every training.
    """

    cohort: Cohort
    recipe: RegionsRecipe
    home: Path
    seed: int

    def round(self, labelled: Sequence[str], waiting: Sequence[str]) -> dict[str, Any]:
        """Return how good a model of some labelled cases is, and the quality that it states of each waiting case."""
        key = sha256(json.dumps([sorted(labelled), self.recipe.model_dump()]).encode()).hexdigest()
        kept = Artefact(self.home / f"{key[:16]}.json", "benchmarks/campaign.py")
        if not kept.path.exists() or not set(waiting) <= files.read_json(kept)["records"].keys():
            model = trained(self.cohort, labelled, self.recipe, self.home / "work", self.seed)
            held_out = outcomes(model, self.cohort, self.cohort.held_out)
            records = judged(model, self.cohort, labelled, waiting)
            files.write_json(kept, {"measured": measured(self.cohort, labelled, held_out), "records": records})
        found: dict[str, Any] = files.read_json(kept)
        return found


def trained(
    cohort: Cohort, labelled: Sequence[str], recipe: RegionsRecipe, folder: Path, seed: int
) -> SegmentationModel:
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
    """Return the predictions of cases, with their references."""
    found = {}
    for name in names:
        stored = read_labelled_case(cohort.cases.case(name))
        found[name] = predicted(model, stored.image, stored.label)
    return found


def judged(
    model: SegmentationModel, cohort: Cohort, labelled: Sequence[str], names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the quality that `brats score` would state of each prediction, by a model without validation cases."""
    known = [read_labelled_case(cohort.cases.case(name)) for name in labelled]
    profiles = [case_profile(case.image, case.label) for case in known]
    made = calibrate([], part="validation", profiles=profiles, settings=Quality())
    calibration = Calibration.model_validate(made)
    return {name: judge(one.observation, calibration) for name, one in outcomes(model, cohort, names).items()}


def measured(cohort: Cohort, labelled: Sequence[str], found: dict[str, HeldOut]) -> Round:
    """Return how many labels were corrected, of which kinds, and the Dice of the held-out cases by kind."""
    dice = {name: float(np.mean(list(one.dice.values()))) for name, one in found.items()}
    corrected = [cohort.kinds[name] for name in labelled[len(cohort.labelled) :]]
    kinds = sorted({cohort.kinds[name] for name in dice})
    of_kind = {kind: [dice[name] for name in dice if cohort.kinds[name] == kind] for kind in kinds}
    return {
        "labels": len(corrected),
        "dice": float(np.mean(list(dice.values()))),
        "dice_of": {kind: float(np.mean(values)) for kind, values in of_kind.items()},
        "corrected": {kind: corrected.count(kind) for kind in kinds},
    }


def show(curves: dict[str, list[list[Round]]]) -> None:
    rows = []
    for order, campaigns in curves.items():
        for at, first in enumerate(campaigns[0]):
            same = [rounds[at] for rounds in campaigns]
            means = {kind: float(np.mean([one["dice_of"][kind] for one in same])) for kind in first["dice_of"]}
            chosen = {f"{kind}, labels": float(np.mean([one["corrected"][kind] for one in same])) for kind in means}
            dice = float(np.mean([one["dice"] for one in same]))
            rows.append({"order": order, "labels": first["labels"], "Dice": dice} | means | chosen)
    table(rows, title=f"means over {len(curves['random'])} campaigns")


def compared(curves: dict[str, list[list[Round]]], count: int) -> dict[str, float]:
    """Return the figures of the comparison."""
    figures: dict[str, float] = {"campaigns": len(curves["random"])}
    measures: dict[str, Callable[[Round], float]] = {
        "": lambda one: one["dice"],
        "_by_kind": lambda one: float(np.mean(list(one["dice_of"].values()))),
    }
    for ending, measure in measures.items():
        dice = {order: np.array([[measure(one) for one in rounds] for rounds in of]) for order, of in curves.items()}
        figures |= {f"{name}{ending}": value for name, value in needed(dice["review"], dice["random"]).items()}
    return figures | {"labels_at_most": float(count * (len(curves["random"][0]) - 1))}


def needed(ours: NDArray[np.float64], random: NDArray[np.float64]) -> dict[str, float]:
    """Return the ratio of labels with its interval, and the Dice at the ends, from the Dice, shape (seed, round)."""
    generator = np.random.default_rng(0)
    drawn = [generator.integers(0, len(random), len(random)) for _ in range(RESAMPLES)]
    found = [ratio(ours[chosen], random[chosen]) for chosen in drawn]
    ratios = [value for value in found if value is not None]
    figures = {
        "start_dice": float(random[:, 0].mean()),
        "end_random_dice": float(random[:, -1].mean()),
        "end_review_dice": float(ours[:, -1].mean()),
        "random_gains_in": len(ratios) / len(found),
    }
    whole = ratio(ours, random)
    if whole is None:
        return figures
    low, high = np.percentile(ratios, [2.5, 97.5])
    return figures | {
        "labels_needed_over_random": whole, "labels_needed_low": float(low), "labels_needed_high": float(high),
    }  # fmt: skip


def ratio(ours: NDArray[np.float64], random: NDArray[np.float64]) -> float | None:
    """Return the rounds that our order needs over those of the random one; None if that gains nothing."""
    goal = float(random.mean(axis=0)[-1])
    theirs = rounds_to(random.mean(axis=0), goal)
    return rounds_to(ours.mean(axis=0), goal) / theirs if theirs else None


def rounds_to(dice: NDArray[np.float64], goal: float) -> float:
    """Return after how many rounds a curve first reaches a Dice; one more than it has if it does not."""
    if dice[0] >= goal:
        return 0.0
    for at in range(1, len(dice)):
        if dice[at] >= goal:
            return at - 1 + float((goal - dice[at - 1]) / (dice[at] - dice[at - 1]))
    return float(len(dice))


if __name__ == "__main__":
    main()
