"""Give real cases a skull and a known pose, prepare them as raw scans, and measure how well that undoes it.

Cases come from the folder in BRATS_REAL_DATA. Around each brain a synthetic head is drawn: fluid, a dark ring of bone,
a bright scalp, and noise. The head is turned by up to 20 degrees and moved by up to 20 mm, and each series by up to 5
degrees and 5 mm more. Then `brats study prepare` runs on the volumes, whole: `python benchmarks/preparation.py --atlas
FOLDER [--cases 12] [--quick]`. Cases take turns in three kinds: `moved` (1 mm), `thick` (slices of 5 mm) and `cropped`
(a quarter of the field is missing below).

Figures of the last line:

- `recovered_share`: moves that are found within 1 mm and 1 degree, of all series.
- `recovered_share_series`: the same of the moves between series, where the truth is exact.
- `recovered_share_atlas`: the same of the reference series to the atlas. Its truth is the place that the head comes to
  without any move, whole and in voxels of 1 mm.
- `released_degrees`, `released_mm`: medians of how far that place is from the pose in which the case was released.
- `brain_dice`: Dice of the brain that is found, with the true one in the same pose, within the field that was scanned.
- `round_trip_dice`: Dice of the whole tumour after the way to the grid of T1ce and back; `round_trip_dice_labels`: the
  mean of each label's Dice.
- `seconds`: of one case, the median.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _frame import ROOT, report, table
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from brats_ml import files
from brats_ml.actions import study_prepare
from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_grid, read_volume, write_volume
from brats_ml.adapters.preparation.atlas import Atlas, read_atlas
from brats_ml.adapters.preparation.registration import Scan
from brats_ml.cohort.cases import find_cases
from brats_ml.cohort.modalities import MODALITIES, Modality
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params, load
from brats_ml.imaging.rigid import (
    Matrix,
    inverse,
    labels_on_grid,
    rotation_degrees,
    share_on_grid,
    shift_mm,
    voxels_between,
)
from brats_ml.workspace import Workspace
from brats_ml.workspace.study import StudyFolder

KINDS = ("moved", "thick", "cropped")
LARGEST, LARGEST_OF_SERIES = 20.0, 5.0  # degrees and mm
SLICE_MM, MISSING = 5.0, 0.25
# Outer borders in mm from the brain, and brightness as a share of the brain's: fluid, bone, scalp.
SHELLS = ((2.0, 0.25), (8.0, 0.06), (14.0, 1.4))
NOISE = 0.03
WITHIN = 1.0  # mm and degrees
REFERENCE: Modality = "t1ce"
MEDIANS = ("seconds", "released_degrees", "released_mm")
CHALLENGE = np.array([[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class Known:
    """A case as it was released: its name, its volumes by modality, labels, brain, and their grid."""

    name: str
    volumes: dict[Modality, NDArray[np.float32]]
    labels: NDArray[np.uint8]
    brain: NDArray[np.bool_]
    grid: VoxelGrid

    @property
    def centre(self) -> NDArray[np.float64]:
        """The centre of the brain in mm."""
        return np.asarray((self.grid.affine @ [*ndimage.center_of_mass(self.brain), 1.0])[:3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atlas", help="folder of the atlas; by default that of the installed package")
    parser.add_argument("--brain", choices=("robex", "atlas"), default="robex")
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--quick", action="store_true", help="one case of each kind")
    options = parser.parse_args()
    params = load(ROOT / "params.yaml")
    preparation = params.study.preparation.model_copy(update={"atlas": options.atlas, "brain": options.brain})
    params = params.model_copy(update={"study": params.study.model_copy(update={"preparation": preparation})})
    count = len(KINDS) if options.quick else options.cases
    rows = []
    for at, known in enumerate(cases(Path(os.environ["BRATS_REAL_DATA"]), count)):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(trial(known, KINDS[at % len(KINDS)], params, Path(folder), np.random.default_rng(at)))
        print(rows[-1], flush=True)
    table(rows)
    report(**figures(rows))


def cases(folder: Path, count: int) -> Iterator[Known]:
    """Yield cases from all releases in turn."""
    found = [case for case in find_cases(walk(folder)) if not case.faults and "seg" in case.files]
    # Headers of the release of Africa have another world, so their pose is not that of the atlas.
    found = [case for case in found if np.allclose(read_grid(folder / case.files["t1"]).affine, CHALLENGE)]
    for case in found[:: max(1, len(found) // count)][:count]:
        read = {modality: read_volume(folder / case.files[modality]) for modality in MODALITIES}
        volumes = {modality: volume.array.astype(np.float32) for modality, volume in read.items()}
        brain = ndimage.binary_fill_holes(np.any([array != 0 for array in volumes.values()], axis=0))
        grid = read["t1"].grid
        labels = read_volume(folder / case.files["seg"]).array.astype(np.uint8)
        yield Known(case.case_id, volumes, labels, np.asarray(brain), VoxelGrid(grid.shape, grid.affine))


def trial(known: Known, kind: str, params: Params, folder: Path, rng: np.random.Generator) -> dict[str, object]:
    """Disturb a case, prepare it, and return how far the result is from the truth."""
    study = StudyFolder(folder / "study")
    files.write_json(study.native.series, {"study": "case"})
    distance = ndimage.distance_transform_edt(~known.brain)
    common = rigid(rng, LARGEST, known.centre)
    true: dict[Modality, Matrix] = {}
    grid = native_grid(known, kind)
    for modality, array in known.volumes.items():
        true[modality] = common @ rigid(rng, LARGEST_OF_SERIES, known.centre)
        volume = scanned(head(array, known.brain, distance, rng), known, true[modality], grid)
        write_volume(study.native.modality(modality), volume, grid)
    start = time.perf_counter()
    study_prepare.run(Workspace(folder), params, study=study.path)
    seconds = time.perf_counter() - start
    atlas = read_atlas(params.study.preparation.atlas, params.study.preparation.atlas_digests)
    home = place_of(known, atlas, rng, distance)
    found = {one: np.loadtxt(study.prepared.matrix(one)) @ inverse(move) for one, move in true.items()}
    errors = {one: inverse(home) @ move for one, move in found.items()}
    pose = errors[REFERENCE]
    between = [offset(inverse(pose) @ error, known) for one, error in errors.items() if one != REFERENCE]
    return {
        "case": known.name,
        "kind": kind,
        "released_degrees": offset(home, known)[0],
        "released_mm": offset(home, known)[1],
        "atlas_degrees": offset(pose, known)[0],
        "atlas_mm": offset(pose, known)[1],
        "series_degrees": max(degrees for degrees, _ in between),
        "series_mm": max(mm for _, mm in between),
        "series_found": sum(max(one) <= WITHIN for one in between) / len(between),
        "all_found": sum(max(offset(error, known)) <= WITHIN for error in errors.values()) / len(errors),
        "brain_dice": brain_dice(known, study, found[REFERENCE], grid),
        **round_trip(known, np.loadtxt(study.prepared.matrix(REFERENCE)), grid),
        "seconds": seconds,
    }


def place_of(known: Known, atlas: Atlas, rng: np.random.Generator, distance: NDArray[np.float64]) -> Matrix:
    """Return the move to the atlas of a head that did not move."""
    whole, grid = head(known.volumes["t1"], known.brain, distance, rng), native_grid(known, "moved")
    scan = Scan(scanned(whole, known, np.eye(4), grid), grid)
    return study_prepare.to_atlas(scan, atlas)


def rigid(rng: np.random.Generator, largest: float, centre: NDArray[np.float64]) -> Matrix:
    """Return a turn about a random axis through the centre, and a shift, each up to `largest` degrees or mm."""
    axis, direction = (vector / np.linalg.norm(vector) for vector in rng.normal(size=(2, 3)))
    move = np.eye(4)
    move[:3, :3] = Rotation.from_rotvec(np.radians(rng.uniform(0, largest)) * axis).as_matrix()
    move[:3, 3] = centre - move[:3, :3] @ centre + rng.uniform(0, largest) * direction
    return move


def native_grid(known: Known, kind: str) -> VoxelGrid:
    """Return a grid of a scanner with 250 mm along each axis about the head."""
    spacing = np.array([1.0, 1.0, SLICE_MM if kind == "thick" else 1.0])
    shape = np.ceil(250 / spacing).astype(int)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = known.centre - spacing * shape / 2
    if kind == "cropped":
        lost = int(known.brain.any(axis=(0, 1)).sum() * MISSING)
        first = shape[2] // 2 - int(known.brain.any(axis=(0, 1)).sum()) // 2 + lost
        affine[2, 3] += first * spacing[2]
        shape[2] -= first
    return VoxelGrid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def head(
    array: NDArray[np.float32], brain: NDArray[np.bool_], distance: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Return a brain within fluid, bone and scalp, with noise everywhere."""
    bright = float(np.median(array[brain & (array > 0)]))
    made = np.where(brain, array, 0.0)
    inner = 0.0
    for outer, share in SHELLS:
        made[(distance > inner) & (distance <= outer)] = share * bright
        inner = outer
    made = np.where(brain, array, ndimage.gaussian_filter(made, 0.7))
    return np.asarray(np.abs(made + rng.normal(0, NOISE * bright, made.shape)), dtype=np.float32)


def scanned(volume: NDArray[np.float32], known: Known, move: Matrix, grid: VoxelGrid) -> NDArray[np.float32]:
    """Return what a scanner sees of a head; `move` leads from its world to that of the case."""
    thickness = round(grid.spacing_mm[2])
    fine = np.diag([1.0, 1.0, 1.0 / thickness, 1.0])
    fine[2, 3] = (1 / thickness - 1) / 2  # the centre of the first of the thin slices that make a thick one
    matrix = voxels_between(move, grid.affine @ fine, known.grid.affine)
    thin = share_on_grid(volume, matrix, (*grid.shape[:2], grid.shape[2] * thickness))
    return np.asarray(thin.reshape(*grid.shape, thickness).mean(axis=3), dtype=np.float32)


def offset(error: Matrix, known: Known) -> tuple[float, float]:
    """Return the angle in degrees, and the shift of the brain's centre in mm."""
    return rotation_degrees(error), shift_mm(error, known.centre.tolist())


def brain_dice(known: Known, study: StudyFolder, pose: Matrix, grid: VoxelGrid) -> float:
    """Return the Dice of the brain that was found, with the true one in the pose that was found."""
    found = read_volume(study.prepared.case("case") / volume_name("case", REFERENCE))
    matrix = voxels_between(inverse(pose), found.grid.affine, known.grid.affine)
    true = share_on_grid(known.brain.astype(np.float32), matrix, found.array.shape) > 0.5
    way_back = inverse(np.loadtxt(study.prepared.matrix(REFERENCE)))
    everywhere, from_native = np.ones(grid.shape, np.float32), voxels_between(way_back, found.grid.affine, grid.affine)
    field = share_on_grid(everywhere, from_native, found.array.shape) > 0.5
    return dice((found.array != 0) & field, true & field)


def round_trip(known: Known, move: Matrix, grid: VoxelGrid) -> dict[str, float]:
    """Return the Dice of a label map after the way to a native grid and back, whole and by label."""
    there = labels_on_grid(known.labels, voxels_between(move, grid.affine, known.grid.affine), grid.shape)
    way_back = voxels_between(inverse(move), known.grid.affine, grid.affine)
    back = labels_on_grid(there, way_back, known.labels.shape)
    values = [value for value in np.unique(known.labels) if value]
    return {
        "round_trip_dice": dice(back > 0, known.labels > 0),
        "round_trip_dice_labels": float(np.mean([dice(back == value, known.labels == value) for value in values])),
    }


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def figures(rows: list[dict[str, object]]) -> dict[str, float]:
    """Return the figures of the last line."""

    def mean(name: str) -> float:
        return round(float(np.mean([float(str(row[name])) for row in rows])), 4)

    atlas = [max(float(str(row["atlas_degrees"])), float(str(row["atlas_mm"]))) <= WITHIN for row in rows]
    return {
        "recovered_share": mean("all_found"),
        "recovered_share_series": mean("series_found"),
        "recovered_share_atlas": round(float(np.mean(atlas)), 4),
        **{name: mean(name) for name in ("brain_dice", "round_trip_dice", "round_trip_dice_labels")},
        **{name: round(float(np.median([float(str(row[name])) for row in rows])), 2) for name in MEDIANS},
        "cases": len(rows),
    }


if __name__ == "__main__":
    main()
