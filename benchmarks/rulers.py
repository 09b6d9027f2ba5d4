"""Compare the speed and the values of every official ruler of BraTS with the tools that publish them, in one run.

References are label maps of BRATS_REAL_DATA, of all releases, or phantoms of the true size. Predictions are the
references with displaced borders and up to 25 balls of false tumour. Each tool reads both files of a case in an
environment of its own; so does ours, which measures in one pass what the tools measure together.

- `rulers_vs_official`: the time of all tools together divided by ours. It is the median over cases.
- `rulers_ms`: our time per case.
- `difference_<ruler>`: the largest absolute difference over cases and regions.

Times are processor time on one thread. Ours is measured before, between and after the tools, and its median counts.

`--scripts FOLDER` runs the scripts of the years 2023 and 2024 from clones of rachitsaluja/BraTS-2023-Metrics and
rachitsaluja/BraTS-2024-Metrics in that folder. They are in no package index, so without it `_ruler_peers.py` repeats
their steps with the same libraries. The steps write no files between the steps, as the scripts
of 2024 do, so the ratio is lower than that to the scripts.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _frame import peer_python, report, table
from _masks import likely_prediction
from _ruler_peers import CONFIGS, REQUIREMENTS

from brats_ml.actions.measure import measure_pair
from brats_ml.actions.measured_pairs import MeasuredPair
from brats_ml.adapters.folder_walk import walk
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_volume, write_volume
from brats_ml.cohort.cases import find_cases
from brats_ml.cohort.labels import SCHEMES, LabelMap
from brats_ml.cohort.phantom import phantom_patient

SCHEME = "brats2023"
ROUNDS = 3
Values = dict[str, dict[str, Any]]


def main() -> None:
    options = parsed()
    with tempfile.TemporaryDirectory(prefix="brats-benchmark-") as name:
        folder = Path(name)
        pairs = list(written(folder, options.cases))
        ours, theirs = [own(pairs, options.challenge)], {}
        for peer in REQUIREMENTS:
            theirs[peer] = measured(peer, options.challenge, options.scripts, folder)
            ours.append(own(pairs, options.challenge))
    seconds = {pair.case_id: statistics.median(taken for block in ours for taken in block[pair.case_id][0])
               for pair in pairs}  # fmt: skip
    rows = [{"tool": "brats_ml, all of them", "s per case": statistics.median(seconds.values()), "times ours": 1.0}]
    rows += [
        {
            "tool": peer + ("" if peer == "brats-evaluation" or options.scripts != "-" else ", its steps"),
            "s per case": statistics.median(case["processor"] for case in found.values()),
            "times ours": statistics.median(found[case]["processor"] / seconds[case] for case in seconds),
        }
        for peer, found in theirs.items()
    ]
    table(rows, title=f"Rulers of {options.challenge}, {len(pairs)} cases")
    differences = largest_differences({case: values for case, (_, values) in ours[0].items()}, theirs)
    table([{"ruler": ruler, "largest difference": value} for ruler, value in differences.items()])
    together = [sum(found[case]["processor"] for found in theirs.values()) / seconds[case] for case in seconds]
    report(
        cases=len(pairs),
        rulers_vs_official=statistics.median(together),
        rulers_ms=1000 * statistics.median(seconds.values()),
        **{f"difference_{ruler}": value for ruler, value in differences.items()},
    )


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=3)
    parser.add_argument("--challenge", default="GLI", choices=list(CONFIGS)[:4])
    parser.add_argument("--scripts", default="-", help="folder with clones of the scripts of 2023 and 2024")
    return parser.parse_args()


def written(folder: Path, count: int) -> Iterator[MeasuredPair]:
    """Write both label maps of cases, in the label values of BraTS since 2023."""
    for number, (case_id, reference, grid) in enumerate(references(count)):
        likely = likely_prediction(reference, seed=number, blobs=5 * (number % 6))
        paths = []
        for side, labels in (("references", reference), ("predictions", likely)):
            paths.append(folder / side / f"{case_id}.nii.gz")
            paths[-1].parent.mkdir(exist_ok=True)
            write_volume(paths[-1], SCHEMES[SCHEME].from_canonical(labels), grid)
        yield MeasuredPair(case_id, predicted=paths[1], reference=paths[0], scheme=SCHEME)


def references(count: int) -> Iterator[tuple[str, LabelMap, VoxelGrid]]:
    """Yield name, canonical label map as stored, and grid."""
    real = os.environ.get("BRATS_REAL_DATA")
    if not real:
        for number in range(count):
            patient = phantom_patient(number, shape=(240, 240, 155), seed=1)
            yield f"phantom{number}", patient.label, VoxelGrid(patient.label.shape, np.diag([-1.0, -1.0, 1.0, 1.0]))
        return
    labelled = [case for case in find_cases(walk(Path(real))) if case.label is not None]
    for case in labelled[:: max(len(labelled) // count, 1)][:count]:
        volume = read_volume(Path(real) / str(case.label))
        yield case.case_id, SCHEMES[case.scheme].to_canonical(volume.array), volume.grid


def own(pairs: list[MeasuredPair], challenge: str) -> dict[str, tuple[list[float], dict[str, float]]]:
    """Return the time of each round by case, in s, and the values."""
    found = {}
    for pair in pairs:
        taken, values = [], dict[str, float]()
        for _ in range(ROUNDS):
            begun = time.process_time()
            values = measure_pair(pair, challenge)
            taken.append(time.process_time() - begun)
        found[pair.case_id] = taken, values
    return found


def measured(peer: str, challenge: str, scripts: str, folder: Path) -> Values:
    script = Path(__file__).with_name("_ruler_peers.py")
    where = scripts if scripts == "-" else str(Path(scripts).resolve())
    command = [str(peer_python(peer, REQUIREMENTS[peer])), str(script), peer, challenge, where, str(folder)]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    output = subprocess.run(command, env={**os.environ, **one}, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: Values = json.loads(output)
    return found


def largest_differences(ours: dict[str, dict[str, float]], theirs: dict[str, Values]) -> dict[str, float]:
    """Return the largest difference of each ruler over cases and regions."""
    largest: dict[str, float] = {}
    for found in theirs.values():
        for case, record in found.items():
            for region, values in record["values"].items():
                for ruler, value in values.items():
                    own_value = ours[case].get(f"{ruler}_{region}")
                    if own_value is not None:
                        largest[ruler] = max(largest.get(ruler, 0.0), abs(own_value - value))
    return largest


if __name__ == "__main__":
    main()
