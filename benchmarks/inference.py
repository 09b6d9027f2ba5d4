"""Compare the time to predict one case, from its files to its label file, with the baseline and between presets.

The case is BRATS_CASE of BRATS_REAL_DATA, by default BraTS20_Training_001, or a phantom of the true size. The
comparison uses the 2D U-Net of the baseline (32 to 512 filters) with random weights, which take as long as trained
ones. Each program runs in a separate process, in turns, and its fastest round counts. Our graph is exported once,
before the rounds.

- `inference_vs_baseline`: wall-clock time of the baseline divided by ours, from start to end of the process.
- `inference_cpu_vs_baseline`: the same in processor time.
- `inference_case_vs_baseline`: the same in processor time after the model is loaded. The network then takes nearly all
  of the time, and in float32 both use the convolutions of the same library.
- `inference_case_bfloat16_vs_baseline`: the same with ours in bfloat16. With `evaluate.precision: auto`, only networks
  that pass `brats precision` run in bfloat16.
- `peak_memory_vs_baseline`: our peak resident memory divided by the baseline's; less is better.
- `label_agreement`: share of the voxels with the same label in both label files.
- `runtime_vs_keras`: processor time per case of Keras divided by that of OpenVINO; 3D network, float32.
- `seconds_a_case_<recipe>_<preset>`: wall-clock time per case with a loaded model.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
from _frame import ROOT, peer_python, report, table
from _plans import planned

from brats_ml import files
from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.model_files.keras_file import write_model
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.cohort.cases import Case, find_cases
from brats_ml.cohort.labels import CLASSES, REGIONS
from brats_ml.cohort.phantom import phantom_affine, phantom_patient
from brats_ml.config import load
from brats_ml.segmentation.inference.presets import PRESETS
from brats_ml.segmentation.networks.baseline_unet import unet
from brats_ml.segmentation.networks.region_unet import region_unet

REQUIREMENTS = [
    "keras==3.15.1",
    "nibabel==5.4.2",
    "numpy==2.4.6",
    "opencv-python-headless==5.0.0.93",
    "tensorflow-cpu==2.21.0",
]
CASE, TRUE_SHAPE, ROUNDS = "BraTS20_Training_001", (240, 240, 155), 3
Found = dict[str, float]


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="brats-benchmark-") as name:
        scratch = Path(name)
        folder, case = chosen_case(scratch)
        figures = compare_with_baseline(scratch, folder, case) | presets(scratch, folder, case)
    report(**figures)


def chosen_case(scratch: Path) -> tuple[Path, Case]:
    real = os.environ.get("BRATS_REAL_DATA")
    if real:
        wanted = os.environ.get("BRATS_CASE", CASE)
        (case,) = (case for case in find_cases(walk(Path(real))) if case.case_id == wanted)
        return Path(real), case
    patient = phantom_patient(1, shape=TRUE_SHAPE, seed=1)
    for role, volume in {**patient.images, "seg": patient.label}.items():
        place = scratch / f"phantoms/{patient.patient}/{patient.patient}_{role}.nii.gz"
        write_volume(place, volume, VoxelGrid(TRUE_SHAPE, phantom_affine(TRUE_SHAPE)))
    (case,) = find_cases(walk(scratch / "phantoms"))
    return scratch / "phantoms", case


def compare_with_baseline(scratch: Path, folder: Path, case: Case) -> dict[str, float]:
    model = scratch / "baseline"
    recipe = load(ROOT / "params.yaml").recipe("baseline").model_dump()
    filters, dropout = recipe["filters"], recipe["dropout"]
    write_model(
        model / "model.keras",
        unet(size=128, channels=2, classes=CLASSES, filters=filters, dropout=dropout, seed=0),
    )
    files.write_json(model / "recipe.json", recipe)
    peer = peer_python("baseline_inference", REQUIREMENTS)
    theirs_out, ours_out = scratch / "theirs.nii.gz", scratch / "ours.nii.gz"
    inputs = [str(folder / case.images[role]) for role in ("flair", "t1ce")]
    own = ["baseline", folder, case.case_id, ours_out, "fast", "auto", "float32"]
    ours(scratch, *own)  # exports the graph
    theirs_found, ours_found, keras_found, rounded_found = [], [], [], []
    for _ in range(ROUNDS):
        theirs_found.append(
            child([peer, ROOT / "benchmarks/_baseline_inference.py", model / "model.keras", *inputs, theirs_out])
        )
        ours_found.append(ours(scratch, *own))
        rounded_found.append(ours(scratch, *own[:3], scratch / "rounded.nii.gz", "fast", "auto", "bfloat16"))
        keras_found.append(ours(scratch, *own[:3], scratch / "keras.nii.gz", "fast", "keras", "float32"))
    results = {
        "baseline": theirs_found,
        "brats_ml": ours_found,
        "brats_ml with Keras": keras_found,
        "brats_ml in bfloat16": rounded_found,
    }
    best = {program: fastest(found) for program, found in results.items()}
    table([{"program": program, **found} for program, found in best.items()], title=f"{case.case_id}, baseline network")
    theirs, mine = best["baseline"], best["brats_ml"]
    agreement = np.mean(np.asanyarray(nib.load(theirs_out).dataobj) == np.asanyarray(nib.load(ours_out).dataobj))
    return {
        "inference_vs_baseline": theirs["process_s"] / mine["process_s"],
        "inference_cpu_vs_baseline": theirs["process_cpu_s"] / mine["process_cpu_s"],
        "inference_case_vs_baseline": theirs["case_cpu_s"] / mine["case_cpu_s"],
        "inference_case_bfloat16_vs_baseline": theirs["case_cpu_s"] / best["brats_ml in bfloat16"]["case_cpu_s"],
        "peak_memory_vs_baseline": mine["peak_mib"] / theirs["peak_mib"],
        "label_agreement": float(agreement),
    }


def presets(scratch: Path, folder: Path, case: Case) -> dict[str, float]:
    rows, figures = [], {}
    for name in ("regions3d", "regions2d"):
        recipe = planned(name)
        network = region_unet(
            dimensions=recipe.dimensions,
            channels=recipe.channels,
            regions=len(REGIONS),
            filters=recipe.filters,
            stem=recipe.stem,
            seed=0,
        )
        write_model(scratch / name / "model.keras", network)
        files.write_json(scratch / name / "recipe.json", recipe.model_dump())
        out = scratch / "regions.nii.gz"
        ours(scratch, name, folder, case.case_id, out, "fast", "auto", "float32")
        for preset in PRESETS:
            for runtime in ("auto", "keras") if preset == "fast" else ("auto",):
                found = ours(scratch, name, folder, case.case_id, out, preset, runtime, "float32")
                figures[f"{name}_{preset}_{runtime}"] = found["case_cpu_s"]
                rows.append({"recipe": name, "preset": preset, "runtime": runtime, **found})
                if runtime == "auto":
                    figures[f"seconds_a_case_{name}_{preset}"] = found["case_s"]
    table(rows, title=f"{case.case_id}, region networks")
    kept = {key: value for key, value in figures.items() if key.startswith("seconds")}
    ratio = figures["regions3d_fast_keras"] / figures["regions3d_fast_auto"]
    return kept | {"runtime_vs_keras": ratio}


def ours(scratch: Path, model: str, *more: object) -> Found:
    command = [sys.executable, ROOT / "benchmarks/_own_inference.py", scratch / model, *more, scratch / "graphs"]
    return child(command)


def fastest(found: list[Found]) -> Found:
    return {key: min(one[key] for one in found) for key in found[0]}


def child(command: list[object]) -> Found:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    begun = time.perf_counter()
    done = subprocess.run([str(part) for part in command], env=environment, check=True, capture_output=True, text=True)
    ended = time.perf_counter()
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found | {"process_s": ended - begun}


if __name__ == "__main__":
    main()
