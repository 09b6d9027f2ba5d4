"""Compare the speed of training with the original baseline, and measure the cost of the input path.

The cases are up to four real ones of BRATS_REAL_DATA in the format of the baseline (240 x 240 voxels per slice, labels
0, 1, 2 and 4), or four phantoms of the true size. All candidates train in turns in one run, on all cores. The rounds
are many and short, and each ratio is the median over the rounds, so other load slows both of its parts.

- `train_vs_baseline`: slices per second of the recipe `baseline` divided by those of the original system. Ours reads
  preprocessed files. The original reads `.nii.gz` files and computes its metrics in each step, which take about as long
  as the rest of the step. The time of our preprocessing is printed, and is not part of the figure.
- `input_path_over_cached`: samples per second with the whole input path divided by those of the same step on one batch
  in memory; the lowest of the recipes. `input_path_over_cached_NAME` is the ratio of one recipe.
- `bfloat16_over_float32`: samples per second of `regions3d` with `train.precision: bfloat16` divided by those in
  float32.
- `train_vs_torch_cpu_NAME`: samples per second of a region recipe divided by those of the same network in PyTorch
  (float32, channels last, the same patches, loss and AdamW), eager or with `torch.compile`, whichever is faster.
  Ours also augments, clips gradients and averages weights. `train_vs_torch_cpu` is the lower one of both recipes.
- `step_over_matrix_rate_NAME`: operations per second of a training step divided by those of a float32 product of
  2048 x 2048 matrices in the same process and round. `_rates.py` says what counts as an operation.
  `step_over_matrix_rate` is that of `regions2d`.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from _frame import ROOT, peer_python, report, table
from _peer_process import Peer
from _plans import planned
from _rates import matrix_products
from _torch_on_cpu import KINDS, TWINS, flops_per_sample, torch_twin

# The import of _frame sets variables that TensorFlow reads on import.
# isort: split
import keras

from brats_ml.adapters.case_files import training_set
from brats_ml.adapters.case_files.array_file import write_case
from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_grid, write_volume
from brats_ml.cohort.cases import Case, find_cases
from brats_ml.cohort.labels import CLASSES, REGIONS
from brats_ml.cohort.phantom import phantom_affine, phantom_patient
from brats_ml.config import load
from brats_ml.dataset.preprocessing import preprocess_case
from brats_ml.segmentation.networks.baseline_unet import unet
from brats_ml.segmentation.networks.region_unet import region_unet
from brats_ml.segmentation.training import baseline, regions
from brats_ml.segmentation.training.patches import Inputs, TrainingSet, cut
from brats_ml.segmentation.training.sampling import draw_patches, foreground
from brats_ml.segmentation.training.step import PatchTraining
from brats_ml.stages.train_baseline import read_batch
from brats_ml.stages.train_regions import POLICY, extent
from brats_ml.workspace.outputs import PreprocessedFolder
from brats_ml.workspace.state import ArrayFolder

BASELINE_SYSTEM = ["keras==3.15.1", "nibabel==5.4.2", "opencv-python-headless==4.13.0.90", "tensorflow-cpu==2.21.0"]
BASELINE_SHAPE, BASELINE_SCHEME, CASES = (240, 240, 155), "brats2017-2021", 4
PATCHES_A_STEP_OF_BASELINE = 20


@dataclass(frozen=True)
class Trained:
    """One recipe, ready to train.

    Attributes:
        samples: Slices or patches per step.
        steps: Steps per round.
        full: Trains a number of steps with the whole input path.
        cached: Trains a number of steps on one batch.
    """

    samples: int
    steps: int
    full: Callable[[int], object]
    cached: Callable[[int], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2, help="cases per round; region recipes take 20 patches for each")
    parser.add_argument("--slices", type=int, default=100, help="slices per case; the original takes 100")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="brats-benchmark-") as name:
        folder, cases = chosen_cases(Path(name))
        paths = preprocessed(Path(name), folder, cases)
        twins = [recipe for recipe in TWINS if recipe in chosen.recipes]
        peers = {"original": original(Path(name), folder, cases, chosen)} if "baseline" in chosen.recipes else {}
        ready = {recipe: RECIPES[recipe](paths, chosen) for recipe in chosen.recipes}
        for recipe in twins:
            for kind in KINDS:
                peers[f"{recipe}, {kind}"] = torch_twin(recipe, ready[recipe].steps, compiled=kind == KINDS[1])
        rates = measured(ready, peers, chosen.rounds)
    shown = {what: statistics.median(rate) for what, rate in rates.items() if what != "matrix"}
    rows = [{"what": what, "samples per second": rate} for what, rate in shown.items()]
    table(rows, title=f"{len(cases)} cases, median of {chosen.rounds} rounds")

    report(**figures(rates, twins), slices=chosen.slices, rounds=chosen.rounds)


def figures(rates: dict[str, list[float]], twins: Sequence[str]) -> dict[str, float]:
    """Return the ratios, each the median over the rounds."""

    def ratio(one: str, other: str) -> float:
        return statistics.median(first / second for first, second in zip(rates[one], rates[other], strict=True))

    names = [what.removesuffix(", whole") for what in rates if what.endswith(", whole")]
    over = {f"input_path_over_cached_{name}": ratio(f"{name}, whole", f"{name}, cached") for name in names}
    found = {"input_path_over_cached": min(over.values()), **over}
    if "original" in rates:
        found = {"train_vs_baseline": ratio("baseline, whole", "original"), **found}
    if {"regions3d", "regions3d_bfloat16"} <= set(names):
        found["bfloat16_over_float32"] = ratio("regions3d_bfloat16, whole", "regions3d, whole")
    torch = {name: min(ratio(f"{name}, whole", f"{name}, {kind}") for kind in KINDS) for name in twins}
    if torch:
        found["train_vs_torch_cpu"] = min(torch.values())
    for name in twins:
        found[f"train_vs_torch_cpu_{name}"] = torch[name]
        found[f"step_over_matrix_rate_{name}"] = ratio(f"{name}, whole", "matrix") * flops_per_sample(name)
    if "regions2d" in twins:
        found["step_over_matrix_rate"] = found["step_over_matrix_rate_regions2d"]
    return found


def chosen_cases(scratch: Path) -> tuple[Path, list[Case]]:
    """Return the folder of the cases, and the cases to train on."""
    real = os.environ.get("BRATS_REAL_DATA")
    folder = Path(real) if real else scratch / "phantoms"
    if not real:
        grid = VoxelGrid(BASELINE_SHAPE, phantom_affine(BASELINE_SHAPE))
        for number in range(CASES):
            patient = phantom_patient(number, shape=BASELINE_SHAPE, seed=1)
            for role, volume in {**patient.images, "seg": patient.label}.items():
                write_volume(folder / patient.patient / f"{patient.patient}_{role}.nii.gz", volume, grid)
    fit = [case for case in find_cases(walk(folder)) if case.label is not None and case.scheme == BASELINE_SCHEME]
    return folder, [case for case in fit if read_grid(folder / str(case.label)).shape == BASELINE_SHAPE][:CASES]


def preprocessed(scratch: Path, folder: Path, cases: Sequence[Case]) -> list[Path]:
    """Write the cases like `brats preprocess`, print the time, and return the files."""
    begun = time.perf_counter()
    paths = [scratch / f"{case.case_id}.npz" for case in cases]
    for path, case in zip(paths, cases, strict=True):
        write_case(path, preprocess_case(folder, case)[0])
    print(f"preprocessing: {(time.perf_counter() - begun) / len(cases):.2f} s per case")
    return paths


def original(scratch: Path, folder: Path, cases: Sequence[Case], chosen: argparse.Namespace) -> Peer:
    """Return the original baseline."""
    roles = ("flair", "t1ce", "seg")
    listing = scratch / "cases.json"
    listing.write_text(json.dumps([{role: str(folder / case.files[role]) for role in roles} for case in cases]))
    command = [peer_python("baseline", BASELINE_SYSTEM), Path(__file__).with_name("_baseline_system.py")]
    return Peer([*command, listing, str(chosen.slices)], samples=chosen.slices, steps=chosen.steps)


def measured(ready: dict[str, Trained], peers: dict[str, Peer], rounds: int) -> dict[str, list[float]]:
    """Return the samples per second of each candidate in each round, without the first step, which compiles.

    `matrix` is the rate of matrix products, in operations per second.
    """
    work: dict[str, tuple[int, Callable[[], float]]] = {}
    for name, peer in peers.items():
        peer.train(1)
        work[name] = (peer.steps * peer.samples, partial(peer.train, peer.steps))
    for name, recipe in ready.items():
        for kind, train in (("whole", recipe.full), ("cached", recipe.cached)):
            train(1)
            count = recipe.steps * recipe.samples
            work[f"{name}, {kind}"] = (count, lambda train=train, steps=recipe.steps: seconds(lambda: train(steps)))
    matrix_rate = matrix_products(2048, dtype="float32", repeats=5, xla=False)
    rates: dict[str, list[float]] = {what: [] for what in (*work, "matrix")}
    for _ in range(rounds):
        for what, (count, train) in work.items():
            rates[what].append(count / train())
        rates["matrix"].append(matrix_rate())
    for peer in peers.values():
        peer.end()
    return rates


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def baseline_recipe(paths: Sequence[Path], chosen: argparse.Namespace) -> Trained:
    """Return the recipe `baseline`. A step is one case of resized slices, read from its file."""
    stored = load(ROOT / "params.yaml").recipe("baseline")
    recipe = stored.model_copy(update={"slices": stored.slices.model_copy(update={"count": chosen.slices})})
    model = unet(
        size=recipe.size,
        channels=len(recipe.modalities),
        classes=CLASSES,
        filters=recipe.filters,
        dropout=recipe.dropout,
        seed=0,
    )
    baseline.compile_baseline(model, learning_rate=recipe.learning_rate)
    cases = PreprocessedFolder(paths[0].parent)
    cached = read_batch(cases.case(paths[0].stem), recipe)

    def train(steps: int, read: Callable[[str], baseline.Batch]) -> object:
        order = [paths[step % len(paths)].stem for step in range(steps)]
        return model.fit(baseline.CaseBatches(order, read), shuffle=False, verbose=0)

    return Trained(
        samples=chosen.slices,
        steps=chosen.steps,
        full=lambda steps: train(steps, lambda case_id: read_batch(cases.case(case_id), recipe)),
        cached=lambda steps: train(steps, lambda _: cached),
    )


def regions_recipe(paths: Sequence[Path], chosen: argparse.Namespace, name: str, precision: str = "float32") -> Trained:
    """Return a region recipe. A step is a batch of patches, cut on the host from cases in memory."""
    recipe = planned(name)
    patch = extent(recipe)
    cases = TrainingSet(
        *training_set.read(
            PreprocessedFolder(paths[0].parent),
            [path.stem for path in paths],
            modalities=recipe.modalities,
            contralateral=recipe.contralateral,
            memory_bytes=2**33,
            mapped=ArrayFolder(paths[0].parent / "mapped"),
        )
    )
    tumours = [foreground(labels, seed=0) for labels in cases.labels]
    keras.utils.set_random_seed(0)
    fused = keras.backend.backend() == "tensorflow"
    network = region_unet(
        dimensions=recipe.dimensions,
        channels=recipe.channels,
        regions=len(REGIONS),
        filters=recipe.filters,
        stem=recipe.stem,
        seed=0,
        dtype=POLICY[precision],
        fused=fused,
    )
    model = PatchTraining(
        network,
        dimensions=recipe.dimensions,
        modalities=len(recipe.modalities),
        augmentation=recipe.augmentation.model_dump(),
        batch_dice=recipe.batch_dice,
        seed=0,
        fused=fused,
    )
    schedule = recipe.schedule.model_dump()
    regions.compile_regions(
        model,
        steps=recipe.epochs * recipe.epoch_steps,
        **recipe.optimizer.model_dump(),
        **schedule,
        ema=recipe.ema,
        xla=False,
    )

    def batch(step: int) -> Inputs:
        drawn = draw_patches(tumours, patch=patch, batch=recipe.batch, share=recipe.foreground, seed=0, step=step)
        return cut(cases, drawn, patch=patch, flip=recipe.augmentation.flip)

    cached = batch(0)

    def train(steps: int, make: Callable[[int], Inputs]) -> object:
        return model.fit(regions.Batches(make, 0, steps), shuffle=False, verbose=0)

    return Trained(
        samples=recipe.batch,
        steps=max(1, PATCHES_A_STEP_OF_BASELINE * chosen.steps // recipe.batch),
        full=lambda steps: train(steps, batch),
        cached=lambda steps: train(steps, lambda _step: cached),
    )


# Functions that prepare each recipe.
RECIPES: dict[str, Callable[[Sequence[Path], argparse.Namespace], Trained]] = {
    "baseline": baseline_recipe,
    "regions2d": partial(regions_recipe, name="regions2d"),
    "regions3d": partial(regions_recipe, name="regions3d"),
    "regions3d_bfloat16": partial(regions_recipe, name="regions3d", precision="bfloat16"),
}

if __name__ == "__main__":
    main()
