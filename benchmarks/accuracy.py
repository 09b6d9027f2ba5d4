"""Dice of the recipes on real cases that they have not seen, after equal processor time.

Thirteen cases train, six are unseen, of three releases; the folder is BRATS_REAL_DATA. Each recipe gets the same
minutes of two cores, counted as processor time, so that a busy machine takes longer and trains no less. The recipe to
put forward is chosen beforehand, by shorter trainings on nine of the thirteen, judged on the other four.

    python benchmarks/accuracy.py                      # all three, about two hours on two idle cores
    python benchmarks/accuracy.py --recipes regions3d  # one
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _frame import ROOT, report, table

from brats_ml.adapters import files
from brats_ml.adapters.arrays import read_case
from brats_ml.config import load
from brats_ml.config.recipes import SeedRecipe
from brats_ml.config_edit import override
from brats_ml.imaging.geometry import uncrop
from brats_ml.imaging.summary import mean_interval
from brats_ml.stages import acquire, evaluate, plan, preprocess, train, train_regions, train_seed, validate
from brats_ml.stages import source as listing
from brats_ml.stages.segmentation_model import segmentation_model
from brats_ml.workspace import Workspace

CORES = 2
UNSEEN = (
    "BraTS20_Training_273", "BraTS20_Training_274", "BraTS2021_00006", "BraTS2021_00014",
    "BraTS-SSA-00010-000", "BraTS-SSA-00080-000",
)  # fmt: skip
# One or two of each release, each with all three regions.
CHOSEN_BY = ("BraTS20_Training_209", "BraTS2021_00003", "BraTS-SSA-00047-000", "BraTS-SSA-00068-000")
REGIONS = ("WT", "TC", "ET")


class Untold:
    """Stands where a run of MLflow would: nothing is logged."""

    def log_metrics(self, rows: Sequence[Mapping[Any, float]], *, step: str | None = None) -> None:
        """Forget the rows."""

    def log_figure(self, figure: Any, name: str) -> None:
        """Forget the figure."""


def prepared(source: str) -> Path:
    """Return a workspace with the preprocessed cases, made by the pipeline's own stages on the first call."""
    root = ROOT / ".brats/accuracy"
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "params.yaml", root)
    override(root / "params.yaml", [f"acquire.source={source}", "train.recipes=[seed,regions2d,regions3d]",
                                    "features.predicted_by=seed", "evaluate.figures=0"])  # fmt: skip
    ws = Workspace(root)
    if not (ws.preprocessed / "index.json").exists():
        for stage in (listing, acquire, validate, preprocess):
            print(stage.run(ws, load(ws.params)), flush=True)
    return root


def steps_within(seconds: float, timed: Callable[[int], float], unit: int) -> int:
    """Return the length of the training that fits into processor seconds, by a trial of `unit` and one of four."""
    short, longer = timed(unit), timed(4 * unit)
    each = (longer - short) / (3 * unit)
    return max(unit, int((seconds - short) / each))


def train_and_measure(root: Path, recipe: str, minutes: float, unseen: Sequence[str], others: Sequence[str]) -> None:
    """Train one recipe on all cases but `unseen` and `others`, and print how it does on `unseen`."""
    ws = Workspace(root)
    params = load(ws.params)
    index = files.read_json(ws.preprocessed / "index.json", made_by="brats preprocess")
    held_out = {index[case]["patient"] for case in unseen}
    taken = {name: record for name, record in index.items() if name not in others}
    parts = {
        "train": sorted(name for name, record in taken.items() if record["patient"] not in held_out),
        "validation": [],
        "test": sorted(unseen),
    }
    patients = {record["patient"]: "test" if record["patient"] in held_out else "train" for record in index.values()}
    files.write_json(ws.image_splits, {"patients": patients})
    plan.run(ws, params, recipe=recipe)
    planned = plan.planned_recipe(ws, recipe)
    method = train_seed if isinstance(planned, SeedRecipe) else train_regions

    def fitted(length: int, folder: Path, cases: dict[str, list[str]]) -> Any:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        epochs = {"epochs": length} if method is train_seed else {"epochs": 1, "epoch_steps": length}
        if folder.name == "whole" and method is train_regions:
            epochs = {"epochs": max(1, round(length / 100)), "epoch_steps": 100}
        return method.fit(
            planned.model_copy(update=epochs), params.train, cases=ws.preprocessed, parts=cases, folder=folder,
            tracked=Untold(),
        )  # fmt: skip

    few = {**parts, "train": parts["train"][:2]}

    def timed(length: int) -> float:
        begun = time.process_time()
        fitted(length, root / "trial", few)
        return time.process_time() - begun

    budget = 60 * CORES * minutes
    length = steps_within(budget, timed, 1 if method is train_seed else 8)
    if method is train_seed:
        length = max(1, round(length * len(few["train"]) / len(parts["train"])))
    begun, clock = time.process_time(), time.monotonic()
    network, history = fitted(length, root / "whole", parts)
    spent, waited = time.process_time() - begun, time.monotonic() - clock
    train.write(
        ws.model(recipe), [network], history, planned, {"verdict": "trained", "key": "benchmark", "cases": parts}
    )
    evaluate.run(ws, params, recipe=recipe)
    cases = files.read_csv(ws.evaluation("test", recipe) / "cases.csv", made_by="brats evaluate")
    predict = segmentation_model(
        ws, params, ws.model(recipe), preset=params.evaluate.preset, window=params.evaluate.window
    )

    for name in unseen[:2]:
        case = read_case(ws.preprocessed / f"{name}.npz")
        predict(uncrop(case.image, case.start, case.full_shape))
    found = {
        "length": length,
        "core_minutes": spent / 60,
        "clock_minutes": waited / 60,
        "seconds_a_case": predict.seconds / predict.cases,
        "cases": cases[["case_id", *(f"dice_{region}" for region in REGIONS)]].to_dict("list"),
    }
    print(json.dumps(found))


def child(root: Path, recipe: str, minutes: float, unseen: Sequence[str], others: Sequence[str]) -> dict[str, Any]:
    """Return what `train_and_measure` found, in a process of its own."""
    command = [sys.executable, __file__, "--child", recipe, "--minutes", str(minutes), "--root", str(root)]
    command += ["--unseen", *unseen, "--others", *others]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["dice"] = np.array([found["cases"][f"dice_{region}"] for region in REGIONS])
    return found


def rows(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, object]]:
    """Return a row a recipe, with the bootstrap interval of the mean region Dice over cases."""
    lines = []
    for name, found in results.items():
        low, high = mean_interval(found["dice"].mean(axis=0))
        regions = {region: float(found["dice"][at].mean()) for at, region in enumerate(REGIONS)}
        lines.append({
            "recipe": name, **regions, "mean": float(found["dice"].mean()), "low": low, "high": high,
            "s/case": float(found["seconds_a_case"]), "core minutes": float(found["core_minutes"]),
            "minutes": float(found["clock_minutes"]),
        })  # fmt: skip
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", default=["seed", "regions2d", "regions3d"])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--choosing-minutes", type=float, default=10.0)
    parser.add_argument("--child")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--unseen", nargs="*", default=())
    parser.add_argument("--others", nargs="*", default=())
    options = parser.parse_args()
    if options.child:
        train_and_measure(options.root, options.child, options.minutes, options.unseen, options.others)
        return
    source = os.environ.get("BRATS_REAL_DATA")
    if not source:
        sys.exit("BRATS_REAL_DATA is unset: name the folder of the real cases")
    root = prepared(source)
    chosen = options.recipes[0]
    if len(options.recipes) > 1:
        trials = {name: child(root, name, options.choosing_minutes, CHOSEN_BY, UNSEEN) for name in options.recipes}
        table(rows(trials), title=f"{options.choosing_minutes:g} minutes, nine cases, judged on the other four")
        chosen = max(trials, key=lambda name: float(trials[name]["dice"].mean()))
    results = {name: child(root, name, options.minutes, UNSEEN, ()) for name in options.recipes}
    table(rows(results), title=f"{options.minutes:g} minutes of {CORES} cores, thirteen cases, on the six unseen")
    figures = {f"{name}_region_dice": float(found["dice"].mean()) for name, found in results.items()}
    if "seed" in results and chosen != "seed":
        gain = (results[chosen]["dice"] - results["seed"]["dice"]).mean(axis=0)
        low, high = mean_interval(gain)
        figures |= {"best_minus_seed": float(gain.mean()), "gain_low": float(low or 0), "gain_high": float(high or 0)}
    best = results[chosen]
    report(
        best=chosen, best_region_dice=float(best["dice"].mean()), best_seconds_a_case=best["seconds_a_case"], **figures
    )


if __name__ == "__main__":
    main()
