"""Compare the Dice of regions2d on unseen real cases that lack modalities, trained with and without dropping some.

The cases are those of accuracy.py: thirteen for training and six unseen ones. Both trainings have the same seed and the
same steps. Every combination of the four modalities is kept in turn, and the others are 0.

    python benchmarks/modalities.py                           # 2,000 steps each, with the batch of the plan
    python benchmarks/modalities.py --steps 500 --batch 2     # a short training
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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
# Each case is predicted fifteen times.
PRESET = "fast"
WHOLE = subset_name(MODALITIES)


def train_and_measure(root: Path, share: float, steps: int, batch: int | None) -> None:
    """Train with a share of dropped modalities, and print the Dice of each combination on the unseen cases."""
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
    # A model that dropped none refuses a case without one, so that both claim to have dropped some.
    claimed = planned.augmentation.model_copy(update={"drop_modalities": share or 1.0})
    recipe = planned.model_copy(update={"augmentation": claimed})
    write_model_folder(folder, [network], recipe, {"verdict": "trained", "key": "benchmark", "cases": parts})
    segment = segmentation_model(ws, params, folder, preset=PRESET)
    print(json.dumps(subset_dice(segment, cases=ws.preprocessed, case_ids=UNSEEN)["dice"]))


def child(root: Path, share: float, steps: int, batch: int | None) -> dict[str, dict[str, float]]:
    """Return the results of `train_and_measure` in a separate process."""
    command = [sys.executable, __file__, "--child", str(share), "--steps", str(steps), "--root", str(root)]
    command += ["--batch", str(batch)] if batch else []
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
    parser.add_argument("--child", type=float)
    parser.add_argument("--root", type=Path)
    options = parser.parse_args()
    if options.child is not None:
        train_and_measure(options.root, options.child, options.steps, options.batch)
        return
    root = prepared(os.environ.get("BRATS_REAL_DATA"))
    without, dropped = (child(root, share, options.steps, options.batch) for share in (0.0, options.share))
    rows: list[dict[str, Any]] = [
        {
            "modalities": name,
            **{f"{region} dropped": dropped[name][region] for region in REGIONS},
            "mean dropped": mean(dropped[name]),
            "mean without": mean(without[name]),
        }
        for name in dropped
    ]
    table(rows, title=f"{options.steps} steps, modalities dropped in {options.share:g} of the patches, or in none")
    report(
        steps=options.steps,
        loss_full=mean(without[WHOLE]) - mean(dropped[WHOLE]),
        **{f"dice_{name}": mean(scores) for name, scores in dropped.items()},
        **{f"undropped_{name}": mean(scores) for name, scores in without.items()},
    )


if __name__ == "__main__":
    main()
