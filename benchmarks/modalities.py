"""Measure what it costs regions2d on unseen real cases to lack modalities, and to have learnt to do without some.

The cases are those of accuracy.py: thirteen for training, and the unseen ones. Both trainings have the same seed and
the same steps, and one drops modalities. Its network predicts each case from every combination of the four modalities.
The other network would refuse a case that lacks one, so it predicts from all four only.

    python benchmarks/modalities.py                                     # 2,000 steps each, with the batch of the plan
    python benchmarks/modalities.py --steps 500 --batch 2 --cases 3     # short trainings, one case of each release
    python benchmarks/modalities.py --quick                             # 100 steps of two patches, all unseen cases

`--quick` shows that the whole works; after so few steps the figures rank nothing.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from _frame import report, table
from accuracy import UNSEEN, Training, divided, prepared

import numpy as np  # isort: skip

from brats_ml.cohort.labels import REGIONS
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.config import load
from brats_ml.config.edit import override
from brats_ml.dataset import planned_recipe
from brats_ml.models.folder_writer import write_model_folder
from brats_ml.models.modality_subsets import subset_dice, subset_name
from brats_ml.models.segmentation import segmentation_model
from brats_ml.stages import plan
from brats_ml.workspace import Workspace

RECIPE = "regions2d"
EPOCH_STEPS = 50
QUICK = (100, 2)
# Each case is predicted fifteen times.
PRESET = "fast"
WHOLE = subset_name(MODALITIES)


def train_and_measure(root: Path, share: float, steps: int, batch: int | None, cases: int) -> None:
    """Train with a share of dropped modalities, and print the Dice of each combination on unseen cases."""
    ws = Workspace(root)
    key = f"recipes.{RECIPE}"
    override(ws.params, [f"{key}.augmentation.drop_modalities={share}", f"{key}.batch={json.dumps(batch)}"])
    params = load(ws.params)
    parts = divided(ws, UNSEEN, ())
    plan.run(ws, params, recipe=RECIPE)
    planned = planned_recipe.planned_recipe(ws, params, RECIPE)
    network = Training(planned, params.train, ws.preprocessed, lambda: 0.0)(
        max(1, steps // EPOCH_STEPS), EPOCH_STEPS, parts, root / f"drop-{share:g}"
    )[0]
    folder = ws.model(RECIPE)
    write_model_folder(folder, [network], planned, {"verdict": "trained", "key": "benchmark", "cases": parts})
    segment = segmentation_model(ws, params, folder, preset=PRESET)
    found = subset_dice(
        segment,
        cases=ws.preprocessed,
        case_ids=UNSEEN[:: len(UNSEEN) // cases][:cases],
        combinations=None if share else [MODALITIES],
    )
    print(json.dumps(found["dice"]))


def child(root: Path, share: float, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return the results of `train_and_measure` in a separate process."""
    command = [sys.executable, __file__, "--child", str(share), "--steps", str(options.steps), "--root", str(root)]
    command += ["--cases", str(options.cases), *(["--batch", str(options.batch)] if options.batch else [])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    return found


def mean(scores: dict[str, float]) -> float:
    """Return the mean Dice of the regions."""
    return float(np.mean([scores[region] for region in REGIONS]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--cases", type=int, default=len(UNSEEN), choices=range(1, len(UNSEEN) + 1))
    parser.add_argument("--quick", action="store_true", help="as --steps 100 --batch 2")
    parser.add_argument("--child", type=float)
    parser.add_argument("--root", type=Path)
    options = parser.parse_args()
    if options.quick:
        options.steps, options.batch = QUICK
    if options.child is not None:
        train_and_measure(options.root, options.child, options.steps, options.batch, options.cases)
        return
    root = prepared(os.environ.get("BRATS_REAL_DATA"))
    without, dropped = (child(root, share, options) for share in (0.0, options.share))
    rows: list[dict[str, object]] = [
        {"dropped in training": name != "never", "modalities": kept, **scores, "mean": mean(scores)}
        for name, found in (("never", without), ("some", dropped))
        for kept, scores in found.items()
    ]
    table(rows, title=f"{options.steps} steps; Dice on {options.cases} unseen cases, preset {PRESET}")
    report(
        steps=options.steps,
        loss_full=mean(without[WHOLE]) - mean(dropped[WHOLE]),
        **{f"dice_{name}": mean(scores) for name, scores in dropped.items()},
    )


if __name__ == "__main__":
    main()
