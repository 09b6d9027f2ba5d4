"""Train variants of a recipe in folds for the same steps, and keep what each predicts for the cases it has not seen."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _frame import ROOT
from accuracy import EpochTimes
from numpy.typing import NDArray

from brats_ml import files
from brats_ml.adapters.case_files.array_file import read_case, read_labelled_case
from brats_ml.cohort.labels import REGIONS, LabelMap, region_mask
from brats_ml.config import load
from brats_ml.config.edit import override
from brats_ml.config.recipes import RegionsRecipe
from brats_ml.dataset import planned_recipe
from brats_ml.imaging.geometry import crop, uncrop
from brats_ml.imaging.metrics.case import dice
from brats_ml.models.folder_writer import write_model_folder
from brats_ml.models.segmentation import segmentation_model
from brats_ml.models.segmentation_regions import RegionsModel
from brats_ml.segmentation.inference.postprocessing import Rules, labels_from_regions
from brats_ml.segmentation.inference.rule_tuning import tune
from brats_ml.stages import plan, train_regions
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder

EPOCH_STEPS = 50
# The fold of a case that is never held out.
NEVER = -1
# A case has little enhancement below this volume of ET.
LITTLE_ML = 2.0


@dataclass(frozen=True)
class Variant:
    """A recipe of params.yaml with some keys changed, such as `fast=regions2d optimizer.learning_rate=0.002`.

    Attributes:
        name: The name of the variant.
        recipe: The name of the recipe.
        changes: The changed keys, as `KEY=VALUE`.
        steps: The steps of its training, or None for those of all variants.
    """

    name: str
    recipe: str
    changes: tuple[str, ...]
    steps: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """Read `[NAME=]RECIPE [KEY=VALUE ...]`.

        A key is one of the recipe, `train.` followed by one of `train`, or `steps`.
        """
        head, *changes = text.split()
        name, _, recipe = head.rpartition("=")
        steps = [int(change.removeprefix("steps=")) for change in changes if change.startswith("steps=")]
        kept = tuple(change for change in changes if not change.startswith("steps="))
        return cls(name or recipe, recipe, kept, steps[-1] if steps else None)

    def settings(self) -> list[str]:
        """Return the changes with whole keys of params.yaml."""
        return [text if text.startswith("train.") else f"recipes.{self.recipe}.{text}" for text in self.changes]


def stratified_folds(ws: Workspace, count: int) -> dict[str, int]:
    """Return the fold of each case. Each fold has about as many cases of each release and with little enhancement."""
    index = files.read_json(ws.preprocessed.index)
    kinds = {case: (release(case), has_little(ws, case)) for case in index}
    return {case: at % count for at, case in enumerate(sorted(index, key=lambda case: (*kinds[case], case)))}


def release(case: str) -> str:
    """Return the release of a case, such as BraTS2021 or BraTS-SSA."""
    return case.split("_", maxsplit=1)[0] if "_" in case else "-".join(case.split("-")[:2])


def has_little(ws: Workspace, case: str) -> bool:
    """Return whether the reference of a case has little enhancement."""
    reference = read_labelled_case(ws.preprocessed.case(case)).label
    return bool(region_mask(reference, "ET").sum() < LITTLE_ML * 1000)


def held_out_release(ws: Workspace, name: str) -> dict[str, int]:
    """Return fold 0 for each case of a release, and `NEVER` for the cases of other releases."""
    return {case: 0 if release(case) == name else NEVER for case in files.read_json(ws.preprocessed.index)}


class Trained:
    """The out-of-fold predictions of a variant, which are made where they are missing."""

    def __init__(self, ws: Workspace, variant: Variant, *, steps: int, fold_of: Mapping[str, int]) -> None:
        self._ws, self.variant, self.steps, self.fold_of = ws, variant, variant.steps or steps, fold_of
        key = files.digest_value([variant.recipe, variant.changes, self.steps, dict(fold_of)])[:12]
        self.folder = ws.root / "variants" / f"{variant.name}-{key}"

    def case(self, case: str) -> Path:
        """Return the file of the probabilities of a case."""
        return self.folder / f"{case}.npz"

    def make(self) -> None:
        """Train and predict the folds that are not there yet, each in a process of its own."""
        for fold in sorted(set(self.fold_of.values()) - {NEVER}):
            held_out = [case for case, of in self.fold_of.items() if of == fold]
            if not all(self.case(case).exists() for case in held_out):
                asked = {
                    "root": str(self._ws.root), "folder": str(self.folder), "fold": fold, "steps": self.steps,
                    "fold_of": dict(self.fold_of), "recipe": self.variant.recipe, "settings": self.variant.settings(),
                }  # fmt: skip
                subprocess.run([sys.executable, __file__], check=True, input=json.dumps(asked), text=True)

    def probabilities(self, case: str) -> NDArray[np.float32]:
        """Return the probabilities (region, X, Y, Z) of a case, cropped like its preprocessed file."""
        with np.load(self.case(case)) as kept:
            return np.asarray(kept["probabilities"], dtype=np.float32)


def train_and_predict(asked: Mapping[str, Any]) -> None:
    """Train one fold of a variant and write what it predicts for the cases of that fold."""
    folder = Path(asked["folder"]) / f"fold-{asked['fold']}"
    folder.mkdir(parents=True, exist_ok=True)
    ws = Workspace(Path(asked["root"]))
    shutil.copy(ws.params, folder / "params.yaml")
    override(folder / "params.yaml", asked["settings"])
    params = load(folder / "params.yaml")
    plan.run(ws, params, recipe=asked["recipe"])
    planned = planned_recipe.planned_recipe(ws, params, asked["recipe"])
    if not isinstance(planned, RegionsRecipe):
        raise TypeError(f"{asked['recipe']} is no region recipe")
    length = {"epochs": max(1, asked["steps"] // EPOCH_STEPS), "epoch_steps": EPOCH_STEPS}
    held_out = [case for case, fold in asked["fold_of"].items() if fold == asked["fold"]]
    train = [case for case in asked["fold_of"] if case not in held_out]
    network, history = train_regions.fit(
        planned.model_copy(update=length), params.train, cases=ws.preprocessed,
        parts={"train": train, "validation": []}, folder=folder,
        tracked=EpochTimes(lambda: 0.0),  # type: ignore[arg-type]  # has what a training calls
    )  # fmt: skip
    print(f"{folder.parent.name} fold {asked['fold']}: loss {history[-1]['loss']:.3f}", flush=True)
    model = ModelFolder(folder / "model")
    write_model_folder(model, [network], planned, {"verdict": "trained", "key": "benchmark", "cases": {"train": train}})
    segment = segmentation_model(ws, params, model, preset=params.evaluate.preset)
    if not isinstance(segment, RegionsModel):
        raise TypeError(f"{asked['recipe']} is no region recipe")
    for case in held_out:
        read = read_case(ws.preprocessed.case(case))
        found = segment.probabilities(uncrop(read.image, read.start, read.full_shape))
        box = tuple(slice(at, at + size) for at, size in zip(read.start, read.image.shape[1:], strict=True))
        cropped = crop(found, box)
        with files.replacing(Path(asked["folder"]) / f"{case}.npz") as part, part.open("wb") as into:
            np.savez_compressed(into, probabilities=cropped.astype(np.float16))


def scores(
    ws: Workspace, predictions: Sequence[Trained], fold_of: Mapping[str, int], *, tuned: bool
) -> dict[str, list[float]]:
    """Return the Dice of each region by case, from the mean of the probabilities of all `predictions`.

    Args:
        ws: The workspace of the cases.
        predictions: One variant, or several to average.
        fold_of: The fold of each case.
        tuned: Whether the rules of a case are chosen on the cases of the other folds; otherwise they are the defaults.
    """
    pairs = {case: _Pair(ws, predictions, case) for case, fold in fold_of.items() if fold != NEVER}
    rules = {fold_of[case]: Rules() for case in pairs}
    if tuned:
        for fold in rules:
            rules[fold] = tune([pair.read() for case, pair in pairs.items() if fold_of[case] != fold]).rules
    found = {}
    for case, pair in pairs.items():
        probabilities, reference = pair.read()
        labels = labels_from_regions(probabilities, rules[fold_of[case]])
        found[case] = [dice(region_mask(reference, name), region_mask(labels, name)) for name in REGIONS]
    return found


@dataclass(frozen=True)
class _Pair:
    ws: Workspace
    predictions: Sequence[Trained]
    case: str

    def read(self) -> tuple[NDArray[np.float32], LabelMap]:
        reference = read_labelled_case(self.ws.preprocessed.case(self.case)).label
        mean = np.mean([made.probabilities(self.case) for made in self.predictions], axis=0, dtype=np.float32)
        return mean, reference


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "benchmarks"))
    train_and_predict(json.loads(sys.stdin.read()))
