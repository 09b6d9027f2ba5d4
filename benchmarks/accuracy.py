"""Compare the Dice of the recipes on unseen real cases after equal training time.

The cases are from three releases in BRATS_REAL_DATA: thirteen for training and six unseen ones. Each recipe trains for
the same minutes on two cores. The minutes are processor time, so a busy machine takes longer but trains just as much.
Training uses bfloat16 if the processor multiplies matrices in it, prediction if the processor multiplies vectors in it.

The best recipe is selected before: by shorter trainings on nine of the thirteen cases, judged on the other four.

    python benchmarks/accuracy.py                      # all three recipes, about two hours on two idle cores
    python benchmarks/accuracy.py --recipes regions3d  # one recipe
    python benchmarks/accuracy.py --steps 1400         # the same steps on every machine, however long they take
    python benchmarks/accuracy.py --gpu --minutes 20   # on a GPU, in bfloat16 with XLA; minutes are wall-clock time
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

from _frame import ROOT, report, table

# The import of _frame sets variables that TensorFlow reads on import.
# isort: split
import keras
import numpy as np

from brats_ml import files
from brats_ml.adapters.case_files.array_file import read_case
from brats_ml.adapters.tables import frames
from brats_ml.config import Params, load
from brats_ml.config.edit import override
from brats_ml.config.recipes import BaselineRecipe, RegionsRecipe
from brats_ml.dataset import planned_recipe
from brats_ml.imaging.geometry import uncrop
from brats_ml.intervals import mean_interval
from brats_ml.models.folder_writer import write_model_folder
from brats_ml.models.segmentation import segmentation_model
from brats_ml.stages import evaluate, plan, train_baseline, train_regions
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import PreprocessedFolder

CORES = 2
UNSEEN = (
    "BraTS20_Training_273", "BraTS20_Training_274", "BraTS2021_00006", "BraTS2021_00014",
    "BraTS-SSA-00010-000", "BraTS-SSA-00080-000",
)  # fmt: skip
# One or two cases of each release, each with all three regions, which select the best recipe.
SELECTION = ("BraTS20_Training_209", "BraTS2021_00003", "BraTS-SSA-00047-000", "BraTS-SSA-00068-000")
REGIONS = ("WT", "TC", "ET")
EPOCH_STEPS = 100
# Steps per epoch of the trial, on a CPU and on a GPU.
TRIAL_STEPS = (8, 40)
ON_GPU = ("train.device=gpu", "train.precision=bfloat16", "train.xla=true")
# For a processor that multiplies matrices in bfloat16, and for one that multiplies vectors in it.
ON_CPUS = {
    "amx_bf16": ("train.precision=bfloat16", "evaluate.precision=bfloat16"),
    "avx512_bf16": ("evaluate.precision=bfloat16",),
}


class EpochTimes:
    """Replaces a run of MLflow and records only the end time of each epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock, self.seconds = clock, [clock()]

    def log_metrics(self, rows: Sequence[Mapping[Any, float]], *, step: str | None = None) -> None:
        """Record the time after an epoch."""
        if rows:
            self.seconds.append(self.clock())

    def log_figure(self, figure: Any, name: str) -> None:
        """Ignore the figure."""


def prepared(source: str | None, *, gpu: bool = False) -> Path:
    """Return a workspace with the preprocessed cases. The first call runs the stages of the pipeline for it."""
    changes = ["train.recipes=[baseline,regions2d,regions3d]", "features.predicted_by=baseline"]
    return preprocess_cases(ROOT / ".brats/accuracy", source, changes, gpu=gpu)


def preprocess_cases(root: Path, source: str | None, changes: Sequence[str] = (), *, gpu: bool = False) -> Path:
    """Return `root` as a workspace with the preprocessed cases of a source, and params.yaml with the changes.

    Args:
        root: The folder of the workspace.
        source: The folder of the cases, which is needed only if they are not preprocessed yet.
        changes: Changes of params.yaml, as `KEY=VALUE`.
        gpu: Whether a GPU trains.
    """
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "params.yaml", root)
    flags = Path("/proc/cpuinfo").read_text().split()
    fitting = ON_GPU if gpu else next((settings for flag, settings in ON_CPUS.items() if flag in flags), ())
    override(root / "params.yaml", [*changes, "evaluate.figures=0", *fitting])
    ws = Workspace(root)
    if not ws.preprocessed.index.path.exists():
        if not source:
            sys.exit("BRATS_REAL_DATA is not set: set it to the folder of the real cases")
        # A machine that only trains may lack the packages that these need.
        from brats_ml.stages import acquire, preprocess, validate
        from brats_ml.stages import source as listing

        override(root / "params.yaml", [f"acquire.source={source}"])
        for stage in (listing, acquire, validate, preprocess):
            print(stage.run(ws, load(ws.params)), flush=True)
    return root


def train_and_measure(
    root: Path,
    recipe: str,
    minutes: float,
    unseen: Sequence[str],
    others: Sequence[str],
    *,
    steps: int | None,
    gpu: bool,
) -> None:
    """Train one recipe on all cases except `unseen` and `others`, and print its results on `unseen`."""
    ws = Workspace(root)
    params = load(ws.params)
    parts = divided(ws, unseen, others)
    plan.run(ws, params, recipe=recipe)
    planned = planned_recipe.planned_recipe(ws, params, recipe)
    train = Training(planned, params.train, ws.preprocessed, time.monotonic if gpu else time.process_time)
    length = (
        train.length_of(steps, parts)
        if steps
        else train.length_within(60 * minutes * (1 if gpu else CORES), parts, root / "trial", compiling=not gpu)
    )
    begun, clock = time.process_time(), time.monotonic()
    network = train(*length, parts, root / "whole")[0]
    processor_s, wall_s = time.process_time() - begun, time.monotonic() - clock
    write_model_folder(ws.model(recipe), [network], planned, {"verdict": "trained", "key": "benchmark", "cases": parts})
    evaluate.run(ws, params, recipe=recipe)
    cases = frames.read_csv(ws.evaluation("test", recipe).cases)
    found = {
        "epochs_and_steps": length,
        "core_minutes": processor_s / 60,
        "clock_minutes": wall_s / 60,
        "seconds_a_case": seconds_a_case(ws, params, recipe, unseen[:3]),
        "cases": cases[["case_id", *(f"dice_{region}" for region in REGIONS)]].to_dict("list"),
    }
    print(json.dumps(found))


def divided(ws: Workspace, unseen: Sequence[str], others: Sequence[str]) -> dict[str, list[str]]:
    """Write a split with `unseen` as test cases, and return it without `others` as case ids by part."""
    index = files.read_json(ws.preprocessed.index)
    held_out = {index[case]["patient"] for case in unseen}
    patients = {record["patient"]: "test" if record["patient"] in held_out else "train" for record in index.values()}
    files.write_json(ws.image_splits, {"patients": patients})
    rest = [name for name, record in index.items() if name not in others and record["patient"] not in held_out]
    return {"train": sorted(rest), "validation": [], "test": sorted(unseen)}


class Training:
    """Trains one recipe for any length on any cases."""

    def __init__(
        self,
        recipe: BaselineRecipe | RegionsRecipe,
        settings: Any,
        cases: PreprocessedFolder,
        clock: Callable[[], float],
    ) -> None:
        self._recipe, self._settings, self._cases, self._clock = recipe, settings, cases, clock
        self._is_baseline = isinstance(recipe, BaselineRecipe)

    def __call__(
        self, epochs: int, steps: int, parts: dict[str, list[str]], folder: Path
    ) -> tuple[keras.Model, list[Any], list[float]]:
        """Return the network, the history, and the time at the start and after each epoch, in s."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        length = {"epochs": epochs} if self._is_baseline else {"epochs": epochs, "epoch_steps": steps}
        times = EpochTimes(self._clock)
        fit = train_baseline.fit if self._is_baseline else train_regions.fit
        network, history = fit(
            self._recipe.model_copy(update=length), self._settings, cases=self._cases, parts=parts, folder=folder,
            tracked=times,
        )  # fmt: skip
        return network, history, times.seconds

    def length_of(self, steps: int, parts: dict[str, list[str]]) -> tuple[int, int]:
        """Return the epochs and the steps per epoch that make up `steps`; a step of the baseline is one case."""
        if self._is_baseline:
            return max(1, round(steps / len(parts["train"]))), 0
        return max(1, round(steps / EPOCH_STEPS)), EPOCH_STEPS

    def length_within(
        self, seconds: float, parts: dict[str, list[str]], folder: Path, *, compiling: bool
    ) -> tuple[int, int]:
        """Return the epochs and the steps per epoch that fit into the time, estimated by a trial on two cases.

        Args:
            seconds: The time to fill, by the clock of this object.
            parts: The case ids by part; the trial uses two of `train`.
            folder: The folder of the trial.
            compiling: Whether the time for compilation in the first step counts.
        """
        few = {**parts, "train": parts["train"][:2]}
        trial = 1 if self._is_baseline else TRIAL_STEPS[self._clock is time.monotonic]
        _, _, times = self(4, trial, few, folder)
        each = (times[-1] - times[1]) / (3 * trial)
        first = times[1] - times[0] - each * trial if compiling else 0.0
        if self._is_baseline:
            each *= len(parts["train"]) / len(few["train"])
        fitting = max(1, int((seconds - first) / each))
        return (fitting, 0) if self._is_baseline else (max(1, round(fitting / EPOCH_STEPS)), EPOCH_STEPS)


def seconds_a_case(ws: Workspace, params: Params, recipe: str, cases: Sequence[str]) -> float:
    """Return the mean time per case of a loaded model, without the first case, which includes preparation."""
    predict = segmentation_model(
        ws, params, ws.model(recipe), preset=params.evaluate.preset, window=params.evaluate.window
    )
    spent = []
    for name in cases:
        case = read_case(ws.preprocessed.case(name))
        begun = time.perf_counter()
        predict(uncrop(case.image, case.start, case.full_shape))
        spent.append(time.perf_counter() - begun)
    return float(np.mean(spent[1:]))


def child(
    root: Path,
    recipe: str,
    minutes: float,
    unseen: Sequence[str],
    others: Sequence[str],
    *,
    steps: int | None = None,
    gpu: bool = False,
) -> dict[str, Any]:
    """Return the results of `train_and_measure` in a separate process."""
    command = [sys.executable, __file__, "--child", recipe, "--minutes", str(minutes), "--root", str(root)]
    command += ["--unseen", *unseen, "--others", *others, *(["--gpu"] if gpu else [])]
    command += ["--steps", str(steps)] if steps else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    found["dice"] = np.array([found["cases"][f"dice_{region}"] for region in REGIONS])
    return found


def rows(results: Mapping[str, Mapping[str, Any]]) -> list[dict[str, object]]:
    """Return one row per recipe, with the interval of the mean region Dice over cases and its method."""
    lines = []
    for name, found in results.items():
        score = mean_interval(found["dice"].mean(axis=0), scale=(0, 1))
        regions = {region: float(found["dice"][at].mean()) for at, region in enumerate(REGIONS)}
        lines.append({
            "recipe": name, **regions, "mean": float(found["dice"].mean()), "low": score.low, "high": score.high,
            "interval": score.method,
            "s/case": float(found["seconds_a_case"]), "core minutes": float(found["core_minutes"]),
            "minutes": float(found["clock_minutes"]),
        })  # fmt: skip
    return lines


def length(options: argparse.Namespace, minutes: float, share: int) -> str:
    """Return in words how long a training is: the steps divided by `share`, or else the minutes."""
    return f"{options.steps // share} steps" if options.steps else f"{minutes:g} minutes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipes", nargs="+", default=["baseline", "regions2d", "regions3d"])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--steps", type=int, help="train for these steps instead, a third of them for the selection")
    parser.add_argument("--choosing-minutes", type=float, default=10.0)
    parser.add_argument(
        "--gpu", action="store_true", help="train on a GPU; minutes are wall-clock, without compilation"
    )
    parser.add_argument("--child")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--unseen", nargs="*", default=())
    parser.add_argument("--others", nargs="*", default=())
    options = parser.parse_args()
    if options.child:
        train_and_measure(
            options.root, options.child, options.minutes, options.unseen, options.others, steps=options.steps,
            gpu=options.gpu,
        )  # fmt: skip
        return
    root = prepared(os.environ.get("BRATS_REAL_DATA"), gpu=options.gpu)
    chosen = options.recipes[0]
    if len(options.recipes) > 1:
        trials = {
            name: child(
                root,
                name,
                options.choosing_minutes,
                SELECTION,
                UNSEEN,
                steps=options.steps and options.steps // 3,
                gpu=options.gpu,
            )
            for name in options.recipes
        }
        table(
            rows(trials),
            title=f"Selection: {length(options, options.choosing_minutes, 3)}, nine cases, evaluated on four",
        )
        chosen = max(trials, key=lambda name: float(trials[name]["dice"].mean()))
    results = {
        name: child(root, name, options.minutes, UNSEEN, (), steps=options.steps, gpu=options.gpu)
        for name in options.recipes
    }
    where = "a GPU" if options.gpu else f"{CORES} cores"
    spent = length(options, options.minutes, 1)
    table(rows(results), title=f"{spent} on {where}, thirteen cases, evaluated on six unseen ones")
    figures = {f"{name}_region_dice": float(found["dice"].mean()) for name, found in results.items()}
    if "baseline" in results and chosen != "baseline":
        gain = (results[chosen]["dice"] - results["baseline"]["dice"]).mean(axis=0)
        interval = mean_interval(gain)
        figures |= {
            "best_minus_baseline": float(gain.mean()),
            "gain_low": float(interval.low or 0),
            "gain_high": float(interval.high or 0),
        }
    best = results[chosen]
    report(
        best=chosen, best_region_dice=float(best["dice"].mean()), best_seconds_a_case=best["seconds_a_case"], **figures
    )


if __name__ == "__main__":
    main()
