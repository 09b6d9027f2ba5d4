"""Make mistakes of anatomy on purpose, and count how many of them validation refuses.

Each mistake changes one thing in a sound case, in memory. Rules and limits are those of this checkout's params.yaml. A
mistake counts as detected if validation quarantines the case and scoring refuses it; a finding of severity `info`
does not count. Cases come from the folder in BRATS_REAL_DATA and from folders named as arguments, and phantoms of the
true size are drawn in addition: `python benchmarks/anatomy.py [FOLDER ...] [--phantoms 12]`. Mistakes in images are
judged without the label map, since unseen cases have none.

Figures of the last line, each a share of all attempts:

- `detected_mirrored_image`: one modality is flipped along an axis, or rotated by 180 degrees; its header stays.
- `detected_mirrored_label`: the same with the label map.
- `detected_swapped_modalities`: two modalities are exchanged, or one scan has the names of two; the copy then has
  another brightness, noise and type, so that no digest finds it.
- `detected_other_patient`: one modality or the label map comes from another patient.
- `detected_wrong_size`: every second voxel is left out along all axes, or along the last one; the header stays.
- `false_alarms`: the share of unaltered cases that are refused.

Each is repeated with `_real` and `_phantom` at its end for these cases alone. `time_ratio` is the time of all measures
of a case divided by the time without those of anatomy, both with reading.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from _frame import ROOT, report, table
from numpy.typing import NDArray

from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.nifti.case import read_case_volumes
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import Volume
from brats_ml.cohort.cases import Case, find_cases
from brats_ml.cohort.labels import SCHEMES
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.phantom import TRUE_SHAPE, phantom_affine, phantom_patient
from brats_ml.config import load
from brats_ml.config.data import Validate
from brats_ml.dataset.examination import compare, measure, row_problems
from brats_ml.imaging.quality.profile import Row

Volumes = dict[str, Volume]
Mistake = tuple[str, str, Volumes]  # figure, kind, the altered case
ROTATIONS = {"left-right": (0,), "front-back": (1,), "top-bottom": (2,), "rotated": (0, 1)}
OTHERS = (1, 4)  # distance in the list of cases from a case to the patients that it gets volumes of
NOISE = 0.02
# The columns that `compare` fills.
COMPARED = (
    *("mask_agreement", "mirror_ratio", "likeness", "pairing", "enhancement", "fluid_contrast"),
    *("outside_brain_share", "label_contrast", "label_advantage"),
)
SEED = 1


@dataclass(frozen=True)
class Sound:
    """A case as it should be: its group, its description, and how to read its volumes."""

    group: str
    case: Case
    read: Callable[[], Volumes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, help="more folders with real cases")
    parser.add_argument("--phantoms", type=int, default=12)
    options = parser.parse_args()
    settings = load(ROOT / "params.yaml").validate_
    real = os.environ.get("BRATS_REAL_DATA")
    cohorts = [*real_cases([*([Path(real)] if real else []), *options.folders]), list(phantoms(options.phantoms))]
    attempts = [attempt for cohort in cohorts for attempt in trials(cohort, settings)]
    show(attempts)
    ratio = time_ratio([one for cohort in cohorts for one in cohort][:4], settings)
    report(**figures(attempts), time_ratio=round(ratio, 2))


def real_cases(folders: list[Path]) -> Iterator[list[Sound]]:
    found = [(folder, case) for folder in folders for case in find_cases(walk(folder)) if not case.faults]
    yield [
        Sound(f"{folder.name}/{PurePosixPath(case.files['t1']).parts[0]}", case, reader(folder, case))
        for folder, case in found
    ]


def reader(folder: Path, case: Case) -> Callable[[], Volumes]:
    return lambda: {
        role: volume for role, volume in read_case_volumes(folder, case).items() if isinstance(volume, Volume)
    }


def phantoms(count: int) -> Iterator[Sound]:
    grid = VoxelGrid(TRUE_SHAPE, phantom_affine(TRUE_SHAPE))

    def draw(index: int) -> Volumes:
        patient = phantom_patient(index, shape=TRUE_SHAPE, seed=SEED)
        volumes: dict[str, NDArray[Any]] = {**patient.images, "seg": patient.label}
        return {role: Volume(np.asfortranarray(array), grid, 0.0, True) for role, array in volumes.items()}

    for index in range(count):
        name = f"phantom{index}"
        images: dict[str, str] = {role: f"{name}_{role}.nii" for role in MODALITIES}
        case = Case(name, name, images, f"{name}_seg.nii", "brats2017-2021")
        yield Sound("phantoms", case, partial(draw, index))


def trials(cohort: list[Sound], settings: Validate) -> Iterator[dict[str, Any]]:
    """Yield the outcome of each attempt on each case of a cohort, and of the unaltered case."""
    for number, one in enumerate(cohort):
        volumes = one.read()
        others = [cohort[(number + step) % len(cohort)] for step in OTHERS if len(cohort) > step]
        known = {row["modality"]: row for row in measure(one.case, volumes, settings)[0]}
        for figure, kind, altered in attempts_on(one, volumes, others):
            found = row_problems(rows_of(one.case, altered, known, settings), settings)
            outcome = {"figure": figure, "kind": kind, "group": one.group, "case": one.case.case_id}
            yield outcome | {"refused": bool(found), "why": "; ".join(found)}
        print(f"{one.group} {one.case.case_id}", flush=True)


def rows_of(case: Case, altered: Volumes, known: dict[str, Row], settings: Validate) -> list[Row]:
    """Return the rows of an altered case. On the same grid, only the measures of the whole case are made again."""
    if next(iter(altered.values())).grid.shape != (
        known["t1"]["shape_x"],
        known["t1"]["shape_y"],
        known["t1"]["shape_z"],
    ):
        return measure(replace(case, label=None), altered, settings)[0]
    rows = {role: known[role] | dict.fromkeys(COMPARED) for role in altered}
    compare(rows, altered)
    return list(rows.values())


def attempts_on(one: Sound, volumes: Volumes, others: list[Sound]) -> Iterator[Mistake]:
    images: Volumes = {role: volumes[role] for role in MODALITIES}
    yield "false_alarms", "with label map", volumes
    yield "false_alarms", "without label map", images
    for name, axes in ROTATIONS.items():
        for role in MODALITIES:
            yield "mirrored_image", name, images | {role: flipped(volumes[role], axes)}
        yield "mirrored_label", name, volumes | {"seg": flipped(volumes["seg"], axes)}
    for first, second in combinations(MODALITIES, 2):
        yield "swapped_modalities", f"{first} {second}", images | {first: volumes[second], second: volumes[first]}
    for original, copy in (("t1", "t1ce"), ("t1ce", "t1"), ("flair", "t2"), ("t2", "flair")):
        yield "swapped_modalities", f"{original} as {copy}", images | {copy: exported_again(volumes[original])}
    for other in others:
        foreign = other.read()
        for role in MODALITIES:
            yield "other_patient", "image", images | {role: moved(foreign[role], volumes[role])}
        labels = SCHEMES[one.case.scheme].from_canonical(SCHEMES[other.case.scheme].to_canonical(foreign["seg"].array))
        yield (
            "other_patient",
            "label map",
            volumes | {"seg": moved(replace(foreign["seg"], array=labels), volumes["seg"])},
        )
    yield "wrong_size", "every second voxel", {role: thinned(volume, (2, 2, 2)) for role, volume in images.items()}
    yield "wrong_size", "every second slice", {role: thinned(volume, (1, 1, 2)) for role, volume in images.items()}


def flipped(volume: Volume, axes: tuple[int, ...]) -> Volume:
    return replace(volume, array=np.flip(volume.array, axes))


def exported_again(volume: Volume) -> Volume:
    """Return the same scan with another brightness, noise and type."""
    rng = np.random.default_rng(SEED)
    brain = volume.array != 0
    noise = NOISE * volume.array[brain].std() * rng.standard_normal(volume.array.shape, dtype=np.float32)
    return replace(volume, array=np.where(brain, 1.7 * volume.array + noise, 0).astype(np.float32))


def moved(volume: Volume, target: Volume) -> Volume:
    """Return a volume on the grid of another one; its voxels keep their place in the array of canonical axes."""
    array = target.grid.to_stored(volume.grid.to_canonical(volume.array))
    return replace(target, array=np.asfortranarray(array))


def thinned(volume: Volume, steps: tuple[int, int, int]) -> Volume:
    array = np.asfortranarray(volume.array[tuple(slice(None, None, step) for step in steps)])
    return replace(volume, array=array, grid=VoxelGrid(array.shape, volume.grid.affine))


def show(attempts: list[dict[str, Any]]) -> None:
    kinds = dict.fromkeys((attempt["figure"], attempt["kind"]) for attempt in attempts)
    groups = list(dict.fromkeys(attempt["group"] for attempt in attempts))
    rows = []
    for figure, kind in kinds:
        row: dict[str, object] = {"mistake": figure, "kind": kind}
        for group in groups:
            chosen = [one for one in attempts if (one["figure"], one["kind"], one["group"]) == (figure, kind, group)]
            row[group] = f"{sum(one['refused'] for one in chosen)}/{len(chosen)}"
        rows.append(row)
    table(rows, title="Refused / attempts")
    for one in attempts:
        if one["refused"] == (one["figure"] == "false_alarms"):
            print("wrong:", one["figure"], one["kind"], one["case"], one["why"])


def figures(attempts: list[dict[str, Any]]) -> dict[str, float]:
    found = {}
    for figure in dict.fromkeys(attempt["figure"] for attempt in attempts):
        name = figure if figure == "false_alarms" else f"detected_{figure}"
        for ending, is_phantom in (("", None), ("_real", False), ("_phantom", True)):
            chosen = [
                one["refused"]
                for one in attempts
                if one["figure"] == figure and is_phantom in (None, one["group"] == "phantoms")
            ]
            if chosen:
                found[name + ending] = round(sum(chosen) / len(chosen), 4)
    return found


def time_ratio(cases: list[Sound], settings: Validate) -> float:
    """Return the processor time to read and measure cases, relative to the same without the measures of anatomy."""
    from brats_ml.imaging.quality.case_profile import profile_anatomy
    from brats_ml.imaging.quality.profile import brain_of

    whole = anatomy = 0.0
    for one in cases:
        begun = time.process_time()
        volumes = one.read()
        measure(one.case, volumes, settings)
        whole += time.process_time() - begun
        images: dict[str, NDArray[Any]] = {role: volumes[role].array for role in MODALITIES}
        brain = brain_of(images)["brain"].reshape(images["t1"].shape, order="F")
        begun = time.process_time()
        profile_anatomy(images, brain, volumes["seg"].array)
        anatomy += time.process_time() - begun
    return whole / (whole - anatomy)


if __name__ == "__main__":
    main()
