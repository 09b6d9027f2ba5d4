"""Train small region networks in folds on real cases, each for several lengths, as the models of `benchmarks/qc.py`.

A network that trains briefly errs often, so the models differ in the Dice of their cases.
"""

from collections.abc import Sequence
from pathlib import Path

from _frame import ROOT
from accuracy import UNSEEN, EpochTimes, divided

from brats_ml import files
from brats_ml.adapters.model_files.keras_file import read_model, write_model
from brats_ml.cohort.folds import folds
from brats_ml.config import load
from brats_ml.config.recipes import RegionsRecipe
from brats_ml.models.folder_writer import write_model_folder
from brats_ml.stages import train_regions
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder

FOLDS = 3
EPOCH_STEPS = 20
# A slim network, for a processor.
PLAN = {"patch": [160, 192], "batch": 4, "filters": [16, 32, 64, 96, 128, 160]}


def recipe_of(steps: int) -> RegionsRecipe:
    """Return `regions2d` of params.yaml, with a slim network that trains for `steps`."""
    recipe = load(ROOT / "params.yaml").recipe("regions2d")
    if not isinstance(recipe, RegionsRecipe):
        raise TypeError("regions2d is no region recipe")
    return recipe.model_copy(update={**PLAN, "epochs": steps // EPOCH_STEPS, "epoch_steps": EPOCH_STEPS})


def trained(root: Path, lengths: Sequence[int]) -> dict[int, ModelFolder]:
    """Return a model of `FOLDS` networks per length; those that exist are read, the others trained.

    Args:
        root: The workspace that `accuracy.prepared` made.
        lengths: The steps of each training.
    """
    ws = Workspace(root)
    parts = divided(ws, UNSEEN, ())
    index = files.read_json(ws.preprocessed.index)
    drawn = folds([index[case]["patient"] for case in parts["train"]], count=FOLDS, seed=0)
    fold_of = {case: drawn[index[case]["patient"]] for case in parts["train"]}
    models = {}
    for steps in lengths:
        models[steps] = folder = ModelFolder(root / f"qc/{steps}")
        if folder.path.exists():
            continue
        networks = [_network(root, ws, steps, fold, fold_of) for fold in range(FOLDS)]
        verdict = {"verdict": "trained", "key": f"qc-{steps}", "cases": parts, "folds": fold_of}
        write_model_folder(folder, networks, recipe_of(steps), verdict)
    return models


def _network(root: Path, ws: Workspace, steps: int, fold: int, fold_of: dict[str, int]) -> object:
    path = root / f"qc-networks/{steps}-{fold}.keras"
    if not path.exists():
        where = root / f"qc-checkpoints/{steps}-{fold}"
        where.mkdir(parents=True, exist_ok=True)
        network, history = train_regions.fit(
            recipe_of(steps),
            load(ws.params).train,
            cases=ws.preprocessed,
            parts={"train": [case for case, of in fold_of.items() if of != fold], "validation": []},
            folder=where,
            tracked=EpochTimes(lambda: 0.0),  # type: ignore[arg-type]  # has what a training calls
        )
        print(f"{steps} steps, fold {fold}: loss {history[-1]['loss']:.3f}", flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_model(path, network)
    return read_model(path)


if __name__ == "__main__":
    import sys

    trained(Path(sys.argv[1]), [int(steps) for steps in sys.argv[2:]])
