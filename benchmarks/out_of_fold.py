"""Compare variants of a recipe on real cases that the networks have not seen, each predicted out of fold.

All labelled cases of the given folders are divided into folds with as many cases of each release, and with little
enhancement, in each. A variant trains once per fold, on the other folds, for the same number of steps. So two machines
can be compared, and a variant that costs more per step must be given fewer.

The figure that decides is the mean Dice of the regions over all cases, with Student's t interval. A variant is compared
with the first one by the paired differences of the cases.

    python benchmarks/out_of_fold.py --data ../shared/data ../shared/data-more
    python benchmarks/out_of_fold.py --variant regions2d --variant "quiet=regions2d augmentation.noise=0.0"
    python benchmarks/out_of_fold.py --variant regions2d --variant regions3d --average regions2d+regions3d
    python benchmarks/out_of_fold.py --hold-out BraTS-SSA       # trained on the other releases alone

Predictions are kept in .brats/out_of_fold, so that a run that was stopped goes on, and only new variants are trained.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from _frame import ROOT, report, table

# The import of _frame sets variables that TensorFlow reads on import.
# isort: split
import numpy as np
from _out_of_fold import (
    LITTLE_ML,
    NEVER,
    Trained,
    Variant,
    has_little,
    held_out_release,
    release,
    scores,
    stratified_folds,
)
from accuracy import preprocess_cases

from brats_ml import files
from brats_ml.cohort.labels import REGIONS
from brats_ml.intervals import mean_interval
from brats_ml.workspace import Workspace


def prepared(folders: Sequence[Path]) -> Workspace:
    """Return a workspace with the preprocessed cases of all folders. The first call preprocesses them."""
    root = ROOT / ".brats/out_of_fold"
    cases = root / "source"
    if not cases.exists():
        with files.replacing(cases) as joined:
            for folder in folders:
                # The folders may have releases in common; a link costs no space.
                shutil.copytree(folder, joined, copy_function=_link, dirs_exist_ok=True)
    ws = Workspace(preprocess_cases(root, str(cases)))
    index = files.read_json(ws.preprocessed.index)
    files.write_json(ws.image_splits, {"patients": {record["patient"]: "train" for record in index.values()}})
    return ws


def _link(source: str, target: str) -> str:
    files.copy(Path(source), Path(target))
    return target


def rows(
    ws: Workspace, found: Mapping[str, Mapping[str, Sequence[float]]], judged: Sequence[str]
) -> list[dict[str, object]]:
    """Return one row per variant: regions, means by group of cases, and the gain over the first variant."""
    groups = {
        **{name: [case for case in judged if release(case) == name] for name in sorted({*map(release, judged)})},
        f"ET below {LITTLE_ML:g} ml": [case for case in judged if has_little(ws, case)],
    }
    first = next(iter(found.values()))
    lines = []
    for name, dice in found.items():
        mean = {case: float(np.mean(values)) for case, values in dice.items()}
        score = mean_interval(np.array(list(mean.values())), scale=(0, 1))
        gain = mean_interval(np.array([mean[case] - np.mean(first[case]) for case in judged]))
        lines.append({
            "variant": name,
            **dict(zip(REGIONS, np.mean(list(dice.values()), axis=0).astype(float).tolist(), strict=True)),
            "mean": score.mean, "low": score.low, "high": score.high,
            **{f"{of} ({len(cases)})": float(np.mean([mean[case] for case in cases])) for of, cases in groups.items()},
            "gain": gain.mean, "gain low": gain.low, "gain high": gain.high,
        })  # fmt: skip
    return lines


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", type=Path, help="folders of cases; the default is that of BRATS_REAL_DATA")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--hold-out", help="a release, such as BraTS-SSA, that is judged by training on all others")
    parser.add_argument("--variant", action="append", type=Variant.parse, help="[NAME=]RECIPE [KEY=VALUE ...]")
    parser.add_argument("--average", action="append", default=[], help="names of variants joined by +")
    parser.add_argument("--tuned", action="store_true", help="also with rules chosen on the cases of the other folds")
    options = parser.parse_args()
    if not options.data and "BRATS_REAL_DATA" not in os.environ:
        parser.error("there are no cases: name their folders with --data, or set BRATS_REAL_DATA")
    if options.hold_out and options.tuned:
        parser.error("--tuned needs folds, so it does not go with --hold-out")
    return options


def main() -> None:
    options = arguments()
    ws = prepared(options.data or [Path(os.environ["BRATS_REAL_DATA"])])
    fold_of = held_out_release(ws, options.hold_out) if options.hold_out else stratified_folds(ws, options.folds)
    judged = [case for case, fold in fold_of.items() if fold != NEVER]
    if not judged:
        sys.exit(
            f"no case is of the release {options.hold_out}: the releases are {', '.join({*map(release, fold_of)})}"
        )
    made = {}
    for variant in options.variant or [Variant.parse("regions2d")]:
        made[variant.name] = [Trained(ws, variant, steps=options.steps, fold_of=fold_of)]
        made[variant.name][0].make()
    for names in options.average:
        made[names] = [made[name][0] for name in names.split("+")]
    found = {}
    for name, predictions in made.items():
        found[name] = scores(ws, predictions, fold_of, tuned=False)
        if options.tuned:
            found[f"{name}, tuned"] = scores(ws, predictions, fold_of, tuned=True)
    how = f"cases of {options.hold_out}" if options.hold_out else f"cases in {options.folds} folds"
    table(
        [
            {"case": case, "fold": fold_of[case], **{name: float(np.mean(dice[case])) for name, dice in found.items()}}
            for case in judged
        ],
        title=f"Mean region Dice of {len(judged)} {how}, {options.steps} steps",
    )
    lines = rows(ws, found, judged)
    table(lines, title="Means and 95 % intervals over the cases; gain over the first row")
    best = max(lines, key=lambda line: float(str(line["mean"])))
    report(
        cases=len(judged), steps=options.steps, best=str(best["variant"]),
        out_of_fold_region_dice=float(str(lines[0]["mean"])), best_out_of_fold_region_dice=float(str(best["mean"])),
        gain=float(str(best["gain"])), gain_low=float(str(best["gain low"])), gain_high=float(str(best["gain high"])),
    )  # fmt: skip


if __name__ == "__main__":
    main()
