"""Compare the speed of HD95 of WT, TC and ET with other packages, on the same masks in one run.

References are real label maps of BRATS_REAL_DATA (about eight, from all releases, without empty regions), or eight
phantoms of the true size. Predictions are the references with displaced borders and up to 25 balls of false tumour.

- `hd95_vs_medpy`, `hd95_vs_surface_distance`, `hd95_vs_monai`: the time of MedPy, of DeepMind's surface-distance and of
  MONAI divided by ours. Each time is a median over cases of medians over rounds. Ours is measured before, between and
  after the peers. Each peer runs in a separate environment and gets region masks in memory. Ours gets label maps and
  computes both definitions, while a peer computes one.
- `hd95_ms`: the time of our HD95 per case.
- `case_metrics_ms`: the time of all metrics of all regions and labels per case.

Times are processor time on one thread, so the load of the machine has little effect. MONAI is also measured by
wall-clock time with its default number of threads, and the faster result counts.
"""

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _frame import peer_python, report, table
from _masks import likely_prediction
from _metric_peers import REQUIREMENTS

from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.cohort.cases import find_cases
from brats_ml.cohort.labels import REGIONS, SCHEMES, LabelMap, region_mask
from brats_ml.cohort.phantom import phantom_patient
from brats_ml.imaging.metrics.case import case_hd95, case_metrics

RUNS = [("medpy", 1), ("surface-distance", 1), ("monai", 1), ("monai", 0)]
DEFINITIONS = {"medpy": "hd95_pooled", "surface-distance": "hd95", "monai": "hd95"}
SPACING_MM = (1.0, 1.0, 1.0)
CASES, ROUNDS = 8, 3


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="brats-benchmark-") as name:
        pairs = {case_id: (reference, likely) for case_id, reference, likely in label_maps()}
        files = {case_id: write_masks(Path(name) / f"{case_id}.npz", *pair) for case_id, pair in pairs.items()}
        ours, theirs = [own(pairs)], {}
        for run in RUNS:
            theirs[run] = peer(*run, list(files.values()))
            ours.append(own(pairs))
    own_ms = {kind: over_cases([block[kind] for block in ours]) for kind in ("hd95", "everything")}
    peer_ms = {
        (name, threads): over_cases(
            [{file: found["processor" if threads else "wall"] for file, found in theirs[name, threads].items()}]
        )
        for name, threads in RUNS
    }
    rows = [{"what": "brats_ml, both definitions", "threads": "1", "ms per case": own_ms["hd95"], "times ours": 1.0}]
    rows += [
        {
            "what": peer_name,
            "threads": str(threads or f"default, {os.cpu_count()} cores"),
            "ms per case": taken,
            "times ours": taken / own_ms["hd95"],
        }
        for (peer_name, threads), taken in peer_ms.items()
    ]
    table(rows, title=f"HD95 of three regions, {len(pairs)} cases")
    values = {case_id: case_metrics(*pair, spacing_mm=SPACING_MM) for case_id, pair in pairs.items()}
    table([agreement(name, values, theirs[name, 1], files) for name in REQUIREMENTS], title="HD95, mm")
    report(
        cases=len(pairs),
        hd95_vs_medpy=peer_ms["medpy", 1] / own_ms["hd95"],
        hd95_vs_surface_distance=peer_ms["surface-distance", 1] / own_ms["hd95"],
        hd95_vs_monai=min(peer_ms["monai", 0], peer_ms["monai", 1]) / own_ms["hd95"],
        hd95_ms=own_ms["hd95"],
        case_metrics_ms=own_ms["everything"],
    )


def label_maps() -> Iterator[tuple[str, LabelMap, LabelMap]]:
    """Yield the name, reference and prediction of every case without empty regions."""
    for number, (name, reference) in enumerate(references()):
        labels = np.ascontiguousarray(reference)
        likely = likely_prediction(labels, seed=number, blobs=5 * (number % 6))
        if all(region_mask(labels, region).any() and region_mask(likely, region).any() for region in REGIONS):
            yield name, labels, likely


def references() -> Iterator[tuple[str, LabelMap]]:
    real = os.environ.get("BRATS_REAL_DATA")
    if not real:
        for number in range(CASES):
            yield f"phantom {number}", phantom_patient(number, shape=(240, 240, 155), seed=1).label
        return
    labelled = [case for case in find_cases(walk(Path(real))) if case.label is not None]
    for case in labelled[:: max(len(labelled) // CASES, 1)]:
        volume = read_volume(Path(real) / str(case.label))
        yield case.case_id, volume.grid.to_canonical(SCHEMES[case.scheme].to_canonical(volume.array))


def write_masks(path: Path, reference: LabelMap, likely: LabelMap) -> Path:
    masks = {f"reference_{region}": region_mask(reference, region) for region in REGIONS}
    masks |= {f"prediction_{region}": region_mask(likely, region) for region in REGIONS}
    np.savez(path, spacing_mm=SPACING_MM, **masks)
    return path


def own(pairs: dict[str, tuple[LabelMap, LabelMap]]) -> dict[str, dict[str, list[float]]]:
    """Return the time of each round by case, in s, for HD95 of the regions and for all metrics."""
    taken: dict[str, dict[str, list[float]]] = {"hd95": {}, "everything": {}}
    for case_id, pair in pairs.items():
        taken["hd95"][case_id] = seconds(lambda pair=pair: case_hd95(*pair, structures=REGIONS, spacing_mm=SPACING_MM))
        taken["everything"][case_id] = seconds(lambda pair=pair: case_metrics(*pair, spacing_mm=SPACING_MM))
    return taken


def seconds(work: Callable[[], object]) -> list[float]:
    taken = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return taken


def over_cases(blocks: list[dict[str, list[float]]]) -> float:
    """Return the median over cases of the median over rounds, in ms."""
    return 1000 * statistics.median(
        statistics.median([taken for block in blocks for taken in block[case]]) for case in blocks[0]
    )


def peer(name: str, threads: int, files: list[Path]) -> dict[str, Any]:
    script = Path(__file__).with_name("_metric_peers.py")
    command = [str(peer_python(name, REQUIREMENTS[name])), str(script), name, str(ROUNDS), *map(str, files)]
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    if threads:
        environment["OMP_NUM_THREADS"] = str(threads)
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(output)
    return found


def agreement(
    name: str, ours: dict[str, dict[str, float]], theirs: dict[str, Any], files: dict[str, Path]
) -> dict[str, object]:
    """Return how much the HD95 of a peer differs from ours in the most similar definition."""
    pairs = np.array(
        [
            (
                ours[case_id][f"{DEFINITIONS[name]}_{region}"],
                theirs[str(file)]["values"][region]["hd95"],
            )
            for case_id, file in files.items()
            for region in REGIONS
        ]
    )
    differences = np.abs(pairs[:, 0] - pairs[:, 1])
    return {
        "peer": name,
        "our definition": DEFINITIONS[name],
        "our median": float(np.median(pairs[:, 0])),
        "its median": float(np.median(pairs[:, 1])),
        "median difference": float(np.median(differences)),
        "largest difference": float(differences.max()),
    }


if __name__ == "__main__":
    main()
