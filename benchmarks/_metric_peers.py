"""Compute metrics of pairs of masks with one other package, in the environment of that package.

Usage: `python _metric_peers.py PEER REPEATS FILE...`. A file of `numpy.savez` has `spacing_mm` and, for every
structure, `reference_<name>` and `prediction_<name>`, which must not be empty. The script prints a JSON object. For
every file it has the values of each structure, and the wall-clock and processor time of each repeat of HD95 of all
structures.

Functions import the peers, because only one of them is installed.
"""

import json
import sys
import time
import warnings

import numpy as np

SCIENCE = ["numpy==2.4.6", "scipy==1.17.1"]
REQUIREMENTS = {
    "medpy": ["medpy==0.5.2", *SCIENCE],
    "surface-distance": ["surface-distance-based-measures==0.1", *SCIENCE],
    "monai": ["monai==1.6.1", "torch==2.13.0", *SCIENCE],
}


def medpy_peer():
    from medpy.metric import binary

    def hd95(reference, prediction, spacing):
        return binary.hd95(prediction, reference, voxelspacing=spacing)

    def others(reference, prediction, _):
        names = {"dice": "dc", "iou": "jc", "sensitivity": "recall", "specificity": "specificity"}
        names["precision"] = "precision"
        return {name: float(getattr(binary, function)(prediction, reference)) for name, function in names.items()}

    return hd95, others


def surface_distance_peer():
    import surface_distance as sd

    def hd95(reference, prediction, spacing):
        return sd.compute_robust_hausdorff(sd.compute_surface_distances(reference, prediction, spacing), 95)

    def others(reference, prediction, _):
        return {"dice": float(sd.compute_dice_coefficient(reference, prediction))}

    return hd95, others


def monai_peer():
    import torch
    from monai.metrics import compute_dice, compute_hausdorff_distance, compute_iou

    def hd95(reference, prediction, spacing):
        pair = (torch.from_numpy(mask)[None, None] for mask in (prediction, reference))
        return compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=spacing).item()

    def others(reference, prediction, _):
        pair = [torch.from_numpy(mask)[None, None] for mask in (prediction, reference)]
        return {"dice": compute_dice(*pair).item(), "iou": compute_iou(*pair).item()}

    return hd95, others


def measured(file, repeats, hd95, others):
    with np.load(file) as stored:
        spacing = stored["spacing_mm"].tolist()
        names = [name.removeprefix("reference_") for name in stored if name.startswith("reference_")]
        pairs = {name: (stored[f"reference_{name}"], stored[f"prediction_{name}"]) for name in names}
    wall, processor = [], []
    for _ in range(repeats):
        begun = time.perf_counter(), time.process_time()
        values = {name: float(hd95(*pair, spacing)) for name, pair in pairs.items()}
        wall.append(time.perf_counter() - begun[0])
        processor.append(time.process_time() - begun[1])
    found = {name: {"hd95": values[name], **others(*pair, spacing)} for name, pair in pairs.items()}
    return {"wall": wall, "processor": processor, "values": found}


PEERS = {"medpy": medpy_peer, "surface-distance": surface_distance_peer, "monai": monai_peer}

if __name__ == "__main__":
    peer, rounds, *files = sys.argv[1:]
    warnings.simplefilter("ignore")
    functions = PEERS[peer]()
    print(json.dumps({file: measured(file, int(rounds), *functions) for file in files}))
