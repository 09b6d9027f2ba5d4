"""Measure the page of predictions in Chromium: seconds to the first case and to the next one, and the longest stall.

Usage: python benchmarks/page.py [--cases N] [--whole N] [--small]. It makes a page of N cases, of which `--whole` have
scans of 240 x 240 x 155 voxels and are opened one after the other; the others have scans of 32 voxels along each axis.
A page reads the volumes of the open case alone. It needs Chromium, and NiiVue, which `make install` adds; it installs
Playwright into .brats/peers. The browser draws without a graphics card, as a machine of continuous integration does.

- `first_case_s`, `switch_median_s`, `switch_longest_s`: from the address to the first drawn case, and from the click to
  the drawn case. `first_case_of_limit` and `switch_longest_of_limit` are shares of the promised 2 s.
- `longest_task_table_s`: the longest task of the page while the table is sorted, searched and scrolled. No key and no
  click is answered meanwhile. `longest_task_open_s`: the same while cases are opened, which includes unpacking volumes.
- `load_per_core`: processes that wait for a core, by the system's average of a minute. Seconds on a busy machine grow
  with it, so compare those of a run with about 1.
- `page_mb`, `case_mb`: the size of index.html, and of the volumes of a case in full size.
"""

import argparse
import copy
import json
import os
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _frame import ROOT, peer_python, report, table

from brats_ml import files
from brats_ml.actions import batch_page
from brats_ml.actions.page_volumes import key_of, remember_scans
from brats_ml.actions.unseen_cases import list_unseen
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.cohort.phantom import phantom_affine, phantom_patient
from brats_ml.cohort.releases import volume_name
from brats_ml.models.prediction_folders import read_record, write_record
from brats_ml.workspace.artefact import Named
from brats_ml.workspace.outputs import PredictionsFolder
from brats_ml.workspace.viewer import installed

PLAYWRIGHT = ["playwright==1.65.2"]
LIMIT_S = 2.0
WHOLE, PART = (240, 240, 155), (32, 32, 32)


def template(folder: Path, shape: tuple[int, int, int]) -> tuple[PredictionsFolder, dict[str, Any]]:
    """Return the page of one phantom, and the record of its prediction."""
    patient = phantom_patient(0, shape=shape, seed=0)
    grid = VoxelGrid(shape, phantom_affine(shape))
    scans, target = folder / "scans", PredictionsFolder(folder / "predictions")
    for modality, array in patient.images.items():
        place = scans / patient.patient / volume_name(patient.patient, modality)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_volume(place, np.asarray(array), grid)
    (unseen,) = list_unseen(Named(scans, "made above")).cases
    made = target.case(unseen.case.case_id)
    made.path.mkdir(parents=True)
    write_volume(made.labels(unseen.case.case_id), np.asarray(patient.label, dtype=np.uint8), grid)
    record = {
        "case_id": unseen.case.case_id,
        "patient": unseen.case.patient,
        "status": "scored",
        "provenance": {
            "segmentation": {"name": "brats-segmentation", "version": 1, "run_id": "0", "digest": "0"},
            "survival": None,
            "code": {"digest": "0"},
            "data": {role: files.digest_file(scans / name) for role, name in unseen.case.images.items()},
            "labels": unseen.case.scheme,
            "age_years": 61.0,
        },
        "volume_mm3": dict.fromkeys(("WT", "TC", "ET", "NCR", "ED"), 1000.0),
        "flags": ["by a model of synthetic patients"],
        "survival": {"group": None, "reason": "there is no survival model"},
        "qc": {"score": 0.0, "reasons": [], "review": False},
    }
    write_record(made, record)
    remember_scans(target, scans, unseen)
    batch_page.write_page(target)
    found = read_record(made)
    if found is None:
        raise SystemExit(f"{made.prediction} is torn")
    return target, found


def add(target: PredictionsFolder, model: PredictionsFolder, record: dict[str, Any], number: int, score: float) -> None:
    """Add a case with the volumes of a template, under a name and a key of its own."""
    old, case_id = str(record["case_id"]), f"Case_{number:04}"
    mine = copy.deepcopy(record) | {"case_id": case_id, "patient": case_id}
    mine["provenance"]["data"] = {role: files.digest_value([case_id, role]) for role in mine["provenance"]["data"]}
    mine["qc"]["score"], mine["qc"]["review"] = score, score < 0.1
    folder, key = target.case(case_id), str(key_of(mine))
    folder.path.mkdir(parents=True)
    os.link(model.case(old).labels(old), folder.labels(case_id))
    write_record(folder, mine)
    target.page_files.case(key).mkdir(parents=True)
    first = str(key_of(record))
    for name in model.page_files.scripts(first):
        script = model.page_files.script(first, name).read_text().replace(first, key, 1)
        target.page_files.script(key, name).write_text(script)


def looked_at(page: Path, opened: int) -> dict[str, Any]:
    """Return what a browser measured."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Chromium is not installed")
    program = Path(__file__).with_name("_page_program.py")
    command = [str(peer_python("playwright", PLAYWRIGHT)), str(program), page.as_uri(), chromium, str(opened)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--whole", type=int, default=20, help="cases in full size, which are opened")
    parser.add_argument("--small", action="store_true", help="no case in full size, for a trial")
    options = parser.parse_args()
    if not installed().is_file():
        raise SystemExit("NiiVue is not installed: `make install` adds it where npm is")
    (ROOT / ".brats").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / ".brats") as name:
        folder = Path(name)
        whole = template(folder / "whole", PART if options.small else WHOLE)
        part = template(folder / "part", PART)
        target = PredictionsFolder(folder / "predictions")
        for number in range(options.cases):
            # The table begins with the lowest score, so the first cases are those in full size.
            add(target, *(whole if number < options.whole else part), number, number / options.cases)
        batch_page.write_page(target)
        sizes = {"page_mb": target.page.path.stat().st_size / 1e6}
        volumes = whole[0].page_files.case(str(key_of(whole[1])))
        sizes["case_mb"] = sum(path.stat().st_size for path in volumes.iterdir()) / 1e6
        found = looked_at(target.page.path, options.whole)
    switches = found["switches"]
    figures = {
        "first_case_s": found["first"],
        "switch_median_s": statistics.median(switches),
        "switch_longest_s": max(switches),
        "longest_task_table_s": found["table"],
        "longest_task_open_s": found["open"],
    }
    rows = [
        {"what": name.removesuffix("_s"), "seconds": value, f"of {LIMIT_S:.0f} s": value / LIMIT_S}
        for name, value in figures.items()
    ]
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    table(
        rows,
        title=f"{found['rows']} cases, {len(switches) + 1} opened, {sizes['case_mb']:.1f} MB each, load {load:.1f}",
    )
    shares = {
        "first_case_of_limit": found["first"] / LIMIT_S,
        "switch_longest_of_limit": max(switches) / LIMIT_S,
        "load_per_core": load,
    }
    report(**{name: round(value, 4) for name, value in {**figures, **shares, **sizes}.items()})


if __name__ == "__main__":
    main()
