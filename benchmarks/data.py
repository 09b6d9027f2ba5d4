"""Measure the cost of reading, measuring and preprocessing volumes, compared with other tools on the same cases.

The cases are eight real ones of BRATS_REAL_DATA, evenly from all releases, or eight phantoms of the true size.

- `read_vs_nibabel`: how many times faster `examine_all` reads and measures the cases than nibabel's get_fdata and numpy
  compute the same facts; the median of three rounds in turns.
- `read_over_decompression`: the time of `read_volume` divided by the time of ISA-L to inflate the same file into a
  buffer of the right size; one thread each, the median over the volumes of the best of five.
- `preprocess_vs_nnunet`: how many times faster `brats preprocess` is than `nnUNetv2_plan_and_preprocess -c 3d_fullres`
  with two workers, as whole processes. `validate_and_preprocess_vs_nnunet` adds `brats validate` to ours, because
  nnU-Net checks its cases as well.
- `peak_memory_200_over_20`: the peak resident memory with 200 phantoms divided by that with 20; the larger ratio of
  validate and preprocess.
- `one_more_case_over_one_case`: the time of source, acquire, validate and preprocess when a cohort of 20 phantoms of
  the true size gets one more, divided by the time for that case alone; without imports.
"""

import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
from _frame import ROOT, peer_python, report, table
from isal import igzip

from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_volume, write_volume
from brats_ml.cohort.cases import Case, find_cases
from brats_ml.cohort.labels import SCHEMES
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.phantom import phantom_affine, phantom_patient
from brats_ml.config import load
from brats_ml.config.edit import override
from brats_ml.dataset.examination import examine_all
from brats_ml.stages import acquire, preprocess, source, validate
from brats_ml.workspace import Workspace
from brats_ml.workspace.state import Cache

NNUNET = ["nnunetv2==2.8.1"]
TRUE_SHAPE, SMALL_SHAPE = (240, 240, 155), (96, 96, 64)
CASES, ROUNDS, READS, WORKERS = 8, 3, 5, 2
# The kernel's count for this process; getrusage would return that of the parent process if it is larger.
MEMORY = """
import sys
from brats_ml.cli import main
try:
    main()
finally:
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("peak", peak.split()[1], file=sys.stderr)
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="brats-benchmark-") as name:
        scratch = Path(name)
        folder, cases = chosen_cases(scratch)
        figures = {
            **reading(folder, cases),
            **preprocessing(scratch, folder, cases),
            **memory(scratch),
            **one_more_case(scratch),
        }
    table([{"figure": key, "value": value} for key, value in figures.items()], title=f"{len(cases)} cases")
    report(**figures)


def chosen_cases(scratch: Path) -> tuple[Path, list[Case]]:
    """Return the folder of the cases, and the cases to measure, evenly from all releases."""
    real = os.environ.get("BRATS_REAL_DATA")
    if not real:
        draw(scratch / "phantoms", range(CASES), TRUE_SHAPE)
    folder = Path(real) if real else scratch / "phantoms"
    found = find_cases(walk(folder))
    return folder, found[:: max(len(found) // CASES, 1)][:CASES]


def draw(folder: Path, numbers: Iterable[int], shape: tuple[int, int, int]) -> None:
    grid = VoxelGrid(shape, phantom_affine(shape))
    for number in numbers:
        patient = phantom_patient(number, shape=shape, seed=1)
        for role, volume in {**patient.images, "seg": patient.label}.items():
            write_volume(folder / patient.patient / f"{patient.patient}_{role}.nii.gz", volume, grid)


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def reading(folder: Path, cases: list[Case]) -> dict[str, float]:
    ours, theirs = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as store:
            found = examine_all(folder, cases, load(ROOT / "params.yaml").validate_, cache=Cache(Path(store)))
            ours.append(seconds(lambda found=found: list(found)))
        theirs.append(seconds(lambda: [plain_profile(folder, case) for case in cases]))
    paths = [folder / file for case in cases for file in set(case.files.values())]
    over = [best(lambda path=path: read_volume(path)) / inflating(path) for path in paths]
    rows = [
        {"what": "examine_all", "seconds": statistics.median(ours)},
        {"what": "nibabel get_fdata and numpy", "seconds": statistics.median(theirs)},
    ]
    table(rows, title=f"Read and measure {len(cases)} cases")
    return {
        "read_vs_nibabel": statistics.median(theirs) / statistics.median(ours),
        "read_over_decompression": statistics.median(over),
    }


def best(work: Callable[[], object]) -> float:
    return min(seconds(work) for _ in range(READS))


def inflating(path: Path) -> float:
    """Return the time to inflate a file into memory of the right size, in s."""
    size = int.from_bytes(path.read_bytes()[-4:], "little")  # a gzip file ends with it

    def inflate() -> None:
        free = memoryview(np.empty(size, dtype=np.uint8).data)
        with igzip.open(path) as stream:
            while free and (count := stream.readinto(free)):
                free = free[count:]

    return best(inflate)


def plain_profile(folder: Path, case: Case) -> list[dict[str, object]]:
    """Measure the facts of our header table for a case as one would in a notebook."""
    rows, brain, seg = [], None, None
    for role, file in case.files.items():
        image = nib.load(folder / file)
        data = image.get_fdata()
        filled = data[data != 0]
        row: dict[str, object] = {
            "shape": data.shape,
            "spacing": image.header.get_zooms(),
            "affine": image.affine,
            "axes": nib.aff2axcodes(image.affine),
            "dtype": image.get_data_dtype(),
            "finite": np.isfinite(data).all(),
            "range": (data.min(), data.max(), data.mean()),
            "digest": hashlib.sha256((folder / file).read_bytes()).hexdigest(),
        }
        if role == "seg":
            seg = data
            row["labels"] = np.unique(data, return_counts=True)
        else:
            brain = data != 0 if brain is None else brain | (data != 0)
            row |= {
                "negative": (data < 0).mean(),
                "brain": (data != 0).mean(),
                "percentiles": np.percentile(filled, (1, 50, 99)),
                "levels": np.unique(filled).size,
                "voxels": hashlib.sha256(data.tobytes()).hexdigest(),
            }
        rows.append(row)
    if seg is not None and brain is not None:
        rows[-1]["outside"] = 1 - brain[seg != 0].mean()
    return rows


def preprocessing(scratch: Path, folder: Path, cases: list[Case]) -> dict[str, float]:
    root = checkout(scratch / "preprocessing")
    for case in cases:
        for file in case.files.values():
            target = root / "data/raw" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(folder / file)
    (root / "data/tables").mkdir()
    validated = seconds(lambda: brats(root, "validate"))
    ours = []
    for _ in range(ROUNDS):
        shutil.rmtree(root / ".brats/preprocessed", ignore_errors=True)
        ours.append(seconds(lambda: brats(root, "preprocess")))
    theirs = nnunet_seconds(scratch / "nnunet", folder, cases)
    rows = [
        {"what": "brats validate", "seconds": validated},
        {"what": "brats preprocess", "seconds": statistics.median(ours)},
        {"what": "nnUNetv2_plan_and_preprocess", "seconds": theirs},
    ]
    table(rows, title=f"Preprocess {len(cases)} cases")
    return {
        "preprocess_vs_nnunet": theirs / statistics.median(ours),
        "validate_and_preprocess_vs_nnunet": theirs / (validated + statistics.median(ours)),
    }


def checkout(root: Path) -> Path:
    """Create a folder with the parameters of this checkout in which stages can run."""
    root.mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", root)
    return root


def brats(root: Path, stage: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", MEMORY, stage, "--root", str(root)]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stderr


def nnunet_seconds(home: Path, folder: Path, cases: list[Case]) -> float:
    dataset = home / "raw/Dataset001_BraTS"
    (dataset / "imagesTr").mkdir(parents=True)
    (dataset / "labelsTr").mkdir()
    for case in cases:
        for channel, modality in enumerate(MODALITIES):
            (dataset / f"imagesTr/{case.case_id}_{channel:04d}.nii.gz").symlink_to(folder / case.images[modality])
        seg = read_volume(folder / str(case.label))
        labels = SCHEMES[case.scheme].to_canonical(seg.array)
        write_volume(dataset / f"labelsTr/{case.case_id}.nii.gz", labels, seg.grid)
    description = {
        "channel_names": {str(channel): modality for channel, modality in enumerate(MODALITIES)},
        "labels": {"background": 0, "NCR": 1, "ED": 2, "ET": 3},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
    }
    (dataset / "dataset.json").write_text(json.dumps(description))
    command = peer_python("nnunet", NNUNET).parent / "nnUNetv2_plan_and_preprocess"
    workers = ["-npfp", str(WORKERS), "-np", str(WORKERS)]
    places = {f"nnUNet_{kind}": str(home / kind) for kind in ("raw", "preprocessed", "results")}
    run = [str(command), "-d", "1", "-c", "3d_fullres", *workers]
    return seconds(lambda: subprocess.run(run, env=os.environ | places, check=True, capture_output=True))


def memory(scratch: Path) -> dict[str, float]:
    peaks = {}
    for count in (20, 200):
        root = checkout(scratch / f"memory-{count}")
        draw(root / "data/raw", range(count), SMALL_SHAPE)
        (root / "data/tables").mkdir()
        for stage in ("validate", "preprocess"):
            peaks[stage, count] = int(brats(root, stage).split("peak ")[-1].split()[0]) / 1024
        shutil.rmtree(root)
    rows = [{"stage": stage, "cases": count, "peak MiB": peak} for (stage, count), peak in peaks.items()]
    table(rows, title="Peak memory")
    return {
        "peak_memory_200_over_20": max(peaks[stage, 200] / peaks[stage, 20] for stage in ("validate", "preprocess"))
    }


def one_more_case(scratch: Path) -> dict[str, float]:
    known, new = scratch / "known", scratch / "new"
    draw(known, range(20), TRUE_SHAPE)
    draw(new, [20], TRUE_SHAPE)
    first = run_stages(scratch / "warm", new)
    alone = statistics.median(run_stages(scratch / f"alone-{number}", new) for number in range(ROUNDS))
    several = []
    for number in range(ROUNDS):
        grown = scratch / f"grown-{number}"
        shutil.copytree(known, grown)
        run_stages(scratch / f"cohort-{number}", grown)
        shutil.copytree(new, grown, dirs_exist_ok=True)
        several.append(run_stages(scratch / f"cohort-{number}", grown))
    rows = [
        {"what": "one case, including imports", "seconds": first},
        {"what": "one case", "seconds": alone},
        {"what": "one case added to twenty", "seconds": statistics.median(several)},
    ]
    table(rows, title="Time of source, acquire, validate and preprocess")
    return {"one_more_case_over_one_case": statistics.median(several) / alone}


def run_stages(root: Path, cohort: Path) -> float:
    """Return the time from the source to the array files, in s. An existing workspace is reused."""
    if not root.exists():
        checkout(root)
        override(root / "params.yaml", [f"acquire.source={cohort}"])
    ws = Workspace(root)
    params = load(ws.params)
    return seconds(lambda: [stage.run(ws, params) for stage in (source, acquire, validate, preprocess)])


if __name__ == "__main__":
    main()
