"""Compare the Dice of a recipe with nnU-Net v2 on the same real cases after equal minutes on one GPU.

    python benchmarks/nnunet.py --minutes 20                             # 2d and 3d_fullres
    python benchmarks/nnunet.py --minutes 20 --configurations 3d_fullres

The cases, the split and the metric are those of `accuracy.py`. The minutes of each network start when it is compiled.
Planning and preprocessing do not count. nnU-Net keeps its own plan, augmentation, loss and optimizer, and shortens its
schedule to the minutes (`_nnunet_peer.py`).
"""

import argparse
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from _frame import ROOT, peer_python, report, table
from accuracy import REGIONS, UNSEEN, child, divided, prepared, rows

from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.imaging.metrics.case import case_metrics
from brats_ml.intervals import mean_interval
from brats_ml.segmentation.devices import gpus
from brats_ml.workspace import Workspace

REQUIREMENTS = ["nnunetv2==2.8.1", "torch==2.13.0"]


def main() -> None:
    options = parsed()
    if options.device == "cuda" and not (gpus() or options.do == "prepare"):
        print("There is no GPU, so nothing is compared; use `--device cpu` for a trial.")
        report(measured="nothing")
        return
    root = prepared(os.environ.get("BRATS_REAL_DATA"), gpu=options.device == "cuda")
    home = ROOT / ".brats/nnunet"
    python = options.python or peer_python("nnunet", REQUIREMENTS)
    job = {
        "cases": str(Workspace(root).preprocessed), "home": str(home), "unseen": UNSEEN, "minutes": options.minutes,
        "train": divided(Workspace(root), UNSEEN, ())["train"], "device": options.device,
        "configurations": options.configurations, "processes": max(1, (os.cpu_count() or 1) // 2),
    }  # fmt: skip
    if options.do != "train":
        shutil.rmtree(home, ignore_errors=True)
        peer(python, {**job, "do": "prepare"})
    if options.do == "prepare":
        return
    ours = child(root, options.recipe, options.minutes, UNSEEN, (), gpu=options.device == "cuda")
    results = {options.recipe: ours}
    print(json.dumps({options.recipe: ours["cases"]}), flush=True)
    theirs = json.loads(peer(python, {**job, "do": "train"}).splitlines()[-1])
    for name, found in theirs.items():
        print(f"nnU-Net {name}: {json.dumps(found)}")
        # In the same order of cases, because the gain is paired.
        dice = np.array([dice_of(root, home / name, case) for case in ours["cases"]["case_id"]]).T
        minutes = found["training_seconds"] / 60
        results[f"nnU-Net {name}"] = {
            "dice": dice, "seconds_a_case": found["seconds_a_case"], "core_minutes": float("nan"),
            "clock_minutes": minutes,
        }  # fmt: skip
    table(rows(results), title=f"{options.minutes:g} minutes, thirteen cases, evaluated on six unseen ones")
    _, *peers = results.values()
    best = max(peers, key=lambda found: float(found["dice"].mean()))
    gain = (ours["dice"] - best["dice"]).mean(axis=0)
    interval = mean_interval(gain)
    report(
        **{f"{name}_region_dice": float(found["dice"].mean()) for name, found in results.items()},
        best_minus_nnunet=float(gain.mean()), gain_low=float(interval.low or 0), gain_high=float(interval.high or 0),
    )  # fmt: skip


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--recipe", default="regions3d")
    parser.add_argument("--configurations", nargs="+", default=["2d", "3d_fullres"])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu only for a trial")
    parser.add_argument("--python", type=Path, help="a Python with nnU-Net; by default an environment is created")
    parser.add_argument("--do", choices=["prepare", "train", "all"], default="all", help="prepare needs no GPU")
    return parser.parse_args()


def peer(python: Path, job: dict[str, Any]) -> str:
    """Return the output of the nnU-Net process."""
    command = [str(python), str(Path(__file__).with_name("_nnunet_peer.py")), json.dumps(job)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def dice_of(root: Path, folder: Path, case_id: str) -> list[float]:
    """Return the Dice of each region of a case that nnU-Net predicted."""
    reference = read_labelled_case(Workspace(root).preprocessed.case(case_id)).label
    measured = case_metrics(reference, np.load(folder / f"{case_id}.npy"), spacing_mm=(1.0, 1.0, 1.0))
    return [measured[f"dice_{region}"] for region in REGIONS]


if __name__ == "__main__":
    main()
