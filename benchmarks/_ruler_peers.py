"""Measure label maps with one official tool, in the environment of that tool.

Usage: `python _ruler_peers.py PEER CHALLENGE SCRIPTS FOLDER`. The folder has `references/NAME.nii.gz` and
`predictions/NAME.nii.gz` with the label values of BraTS since 2023. The script prints a JSON object: for every name the
wall-clock and processor time, and the values of each region under the names of our rulers.

Peers:

- `brats-evaluation`: the package of that name, its evaluation and both of its parsers.
- `lesions-2023`, `lesions-2024`: the scripts that ranked these years. No package index has them. If SCRIPTS is a folder
  with clones of rachitsaluja/BraTS-2023-Metrics and rachitsaluja/BraTS-2024-Metrics, they run as they are. If it is
  `-`, the steps that they take are repeated here on whole volumes and with the same libraries, cc3d, SciPy,
  surface-distance and MedPy, but without the files that the scripts of 2024 write between their steps.

Functions import the peers, because only some of them are installed.
"""

import importlib
import json
import math
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

SCRIPTS = [
    "connected-components-3d==3.12.1", "medpy==0.5.2", "nibabel==5.0.1", "numpy==1.26.4", "pandas==1.5.3",
    "scipy==1.10.1", "surface-distance-based-measures==0.1",
]  # fmt: skip
REQUIREMENTS = {
    "brats-evaluation": ["brats-evaluation==0.0.10", "panoptica==2.1.7"],
    "lesions-2023": SCRIPTS,
    "lesions-2024": SCRIPTS,
}
CONFIGS = {"GLI": "gli", "SSA": "GoAT", "MEN": "MenPre", "MET": "mets", "PED": "ped", "MEN-RT": "MenRT"}

THREE = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
REGIONS = {
    "GLI": {**THREE, "NETC": (1,), "SNFH": (2,), "RC": (4,)},
    "SSA": {**THREE, "NETC": (1,)},
    "MET": {**THREE, "NETC": (1,)},
    "MEN": THREE,
    "PED": {"WT": (1, 2, 3, 4), "TC": (1, 2, 3), "ET": (1,), "NETC": (2,), "CC": (3,), "ED": (4,)},
    "MEN-RT": {"GTV": (1,)},
}
SCORED = {challenge: [name for name in regions if challenge not in ("SSA", "MET") or name != "NETC"]
          for challenge, regions in REGIONS.items()}  # fmt: skip


def brats_evaluation(challenge, _):
    import pandas as pd
    from brats_evaluation import config_path, evaluate_single_exam, parse_mets_results, parse_seg_results
    from panoptica import Panoptica_Evaluator

    evaluator = Panoptica_Evaluator.load_from_config(str(config_path(CONFIGS[challenge])))
    of_all = {
        "all_instance_tp": "matched", "all_instance_fn": "missed", "all_instance_fp": "invented",
        "all_instance_f1": "f1_matched", "lesionwise_dsc_mean": "dice_matched", "lesionwise_nsd_mean": "nsd_matched",
        "lesionwise_hd95_mean": "hd95_matched", "global_dsc": "dice", "global_nsd": "nsd_global",
        "global_hd95": "hd95_global",
    }  # fmt: skip
    of_large = {f"lesionwise_{name}_mean": f"{ours}_large" for name, ours in
                (("dsc", "dice"), ("nsd", "nsd"), ("hd95", "hd95"))}  # fmt: skip

    def parsed(parse, written, names, *options):
        table = written.with_suffix(".csv")
        parse(written, *options, table)
        row = pd.read_csv(table).iloc[0]
        regions = [name.removeprefix("global_dsc_") for name in row.index if name.startswith("global_dsc_")]
        return {region.upper(): {ours: row[f"{name}_{region}"] for name, ours in names.items()} for region in regions}

    def measure(reference, prediction):
        found = evaluate_single_exam(str(prediction), str(reference), "case", evaluator)
        if "error" in found:
            raise ValueError(found["error"])
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / "found.json"
            written.write_text(json.dumps({"metrics": [found], "absent": []}))
            every = parsed(parse_seg_results, written, of_all)
            large = parsed(parse_mets_results, written, of_large, 27, 0.2)
        quality = {region.upper(): values.get("pq_dsc") for region, values in found.items() if isinstance(values, dict)}
        return {
            region: {name: defined(name, value) for name, value in
                     {**values, **large[region], "pq_matched": quality[region]}.items()}
            for region, values in every.items()
        }  # fmt: skip

    return measure


def defined(name, value):
    """Return a value of brats-evaluation, with what ours has where it gives none: perfect for empty masks."""
    if name in ("matched", "missed", "invented"):
        return float(value)
    is_distance = name.startswith("hd95")
    if value is None or math.isnan(value):
        return 0.0 if is_distance else 1.0
    return 373.0 if math.isinf(value) else float(value)


def lesions_2023(challenge, scripts):
    surface_distance()
    if scripts == "-":
        return lambda reference, prediction: steps_of_2023(challenge, *read(reference, prediction))
    sys.path.insert(0, f"{scripts}/BraTS-2023-Metrics")
    names = {
        "LesionWise_Score_Dice": "dice_2023", "LesionWise_Score_HD95": "hd95_2023", "Num_TP": "found_2023",
        "Num_FN": "missed_2023", "Num_FP": "invented_2023", "Legacy_Dice": "dice", "Legacy_HD95": "hd95_area",
    }  # fmt: skip
    return script(importlib.import_module("eval"), challenge, names)


def lesions_2024(challenge, scripts):
    surface_distance()
    if scripts == "-":
        return lambda reference, prediction: steps_of_2024(challenge, *read(reference, prediction))
    sys.path.insert(0, f"{scripts}/BraTS-2024-Metrics")
    names = {
        "LesionWise_Score_Dice": "dice_2024", "LesionWise_Score_HD95": "hd95_2024", "Num_TP": "found_2024",
        "Num_FN": "missed_2024", "Num_FP": "invented_2024", "LesionWise_Score_NSD @ 0.5": "nsd_05_2024",
        "LesionWise_Score_NSD @ 1.0": "nsd_10_2024",
    }  # fmt: skip
    return script(importlib.import_module(f"metrics_{challenge.replace('-', '_')}"), challenge, names)


def script(module, challenge, names):
    replace_in_numbers_only(module.pd.DataFrame)

    def measure(reference, prediction):
        found = module.get_LesionWiseResults(str(prediction), str(reference), f"BraTS-{challenge}")
        table = found[0] if isinstance(found, tuple) else found
        return {
            row["Labels"]: {ours: float(row[name]) for name, ours in names.items() if name in row}
            for _, row in table.iterrows()
        }

    return measure


def replace_in_numbers_only(table):
    """Let `replace` skip cells with arrays, as pandas did when the scripts were written; today it raises an error."""
    before = table.replace

    def replace(self, *values, inplace=False):
        found = self if inplace else self.copy()
        numbers = found.select_dtypes("number").columns
        found[numbers] = before(found[numbers], *values)
        return None if inplace else found

    table.replace = replace


def surface_distance():
    """Return the package, so that it takes the numbers of the scripts and the NumPy of today."""
    import surface_distance as package

    np.bool = bool
    package.metrics._assert_is_bool_numpy_array = lambda *_: None
    return package


def read(reference, prediction):
    import nibabel as nib

    files = [nib.load(path) for path in (reference, prediction)]
    return *(file.get_fdata() for file in files), tuple(map(float, files[1].header.get_zooms()))


def steps_of_2023(challenge, reference, prediction, spacing):
    """Lesions of the reference by growing it; components of the prediction as they are."""
    steps = 1 if challenge in ("MEN", "MET", "MEN-RT") else 3
    smallest = 2 if challenge == "MET" else 50
    found = {}
    for region in SCORED[challenge]:
        masks = [np.isin(volume, REGIONS[challenge][region]) for volume in (reference, prediction)]
        scores = lesion_means(lesions_of(masks[0], steps), components(masks[1]), spacing, steps, smallest, penalty=374)
        found[region] = {f"{name}_2023": value for name, value in scores.items() if "nsd" not in name}
        found[region]["hd95_area"] = hd95_by_area(*masks, spacing, 374)
    return found


def steps_of_2024(challenge, reference, prediction, spacing):
    """Lesions of both by growing them, small predictions left out, and lesions of labels joined through others."""
    steps = {region: growth(challenge, region) for region in REGIONS[challenge]}
    smallest = {region: size_limit(challenge, region) for region in REGIONS[challenge]}
    sides = []
    for number, volume in enumerate((reference, prediction)):
        maps = {}
        for region, values in REGIONS[challenge].items():
            mask = np.isin(volume, values)
            if challenge == "MEN":
                maps[region] = components(mask) if number else lesions_of(mask, steps[region])
                continue
            maps[region] = lesions_of(mask, steps[region])
            if number:
                limit = smallest[region] / math.prod(spacing) if challenge == "MEN-RT" else smallest[region]
                numbers, sizes = np.unique(maps[region], return_counts=True)
                maps[region][np.isin(maps[region], numbers[sizes <= limit])] = 0
        sides.append({region: joined(challenge, region, maps) for region in maps})
    penalty = {"GLI": 337, "MEN-RT": math.sqrt(sum(size**2 for size in reference.shape))}.get(challenge, 374)
    found = {}
    for region in SCORED[challenge]:
        pair = [side[region] for side in sides]
        scores = lesion_means(
            *pair, spacing, steps[region], smallest[region], penalty=penalty, inventions=challenge != "MEN-RT"
        )
        found[region] = {f"{name}_2024": value for name, value in scores.items()}
    return found


def growth(challenge, region):
    if challenge == "GLI":
        return 5 if region in ("NETC", "RC") else 3
    return {"SSA": 3, "PED": 5}.get(challenge, 1)


def size_limit(challenge, region):
    if challenge == "GLI":
        return 10 if region == "ET" else 20
    return {"MET": 2, "PED": 10}.get(challenge, 50)


def components(mask):
    import cc3d

    return cc3d.connected_components(mask, connectivity=26).astype(np.int32)


def grown(mask, steps):
    from scipy import ndimage

    return ndimage.binary_dilation(mask, ndimage.generate_binary_structure(3, 2), iterations=steps)


def lesions_of(mask, steps):
    parts, after = components(mask), components(grown(mask, steps))
    lesions = np.zeros_like(after)
    for number in range(1, after.max() + 1):
        lesions[(after == number) & (parts > 0)] = number
    return lesions


def joined(challenge, region, maps):
    """Join lesions that touch the same lesion of another label; the smaller number wins, a single pair stays."""
    others = {"NETC": ["ET", "RC"], "SNFH": ["ET", "RC", "NETC"], "ET": ["NETC", "RC"], "RC": ["ET", "NETC"]}
    if challenge in ("SSA", "MET"):
        others = {"ET": ["NETC"]}
    lesions = maps[region].copy()
    for other in others.get(region, []) if challenge in ("GLI", "SSA", "MET") else []:
        pairs = [
            (one, two)
            for one in np.unique(lesions)[1:]
            for two in np.unique(maps[other])[1:]
            if np.any(grown(lesions == one, 1) & (maps[other] == two))
            or np.any(grown(maps[other] == two, 1) & (lesions == one))
        ]
        if len(pairs) > 1:
            free, claims, before = int(lesions.max()) + 1, {}, lesions.copy()
            for one, two in sorted(pairs):
                claims.setdefault(one, two)
            for one, two in claims.items():
                lesions[before == one] = free + int(two)
    return np.unique(lesions, return_inverse=True)[1].reshape(lesions.shape).astype(np.int32)


def lesion_means(reference, prediction, spacing, steps, smallest, *, penalty, inventions=True):
    values, met, found, missed = [], set(), 0, 0
    for number in range(1, int(reference.max()) + 1):
        lesion = reference == number
        near = np.unique(prediction * grown(lesion, steps))
        near = near[near != 0]
        met |= set(near.tolist())
        if lesion.sum() * math.prod(spacing) <= smallest:
            continue
        if not near.size:
            missed += 1
            continue
        found += 1
        matched = np.isin(prediction, near)
        dice = 2.0 * (lesion & matched).sum() / (lesion.sum() + matched.sum())
        surface = [surface_dice(matched, lesion, tolerance, spacing) for tolerance in (0.5, 1.0)]
        values.append((dice, hd95_by_area(lesion, matched, spacing, penalty), *surface))
    numbers = np.unique(prediction)
    invented = len(set(numbers[numbers != 0].tolist()) - met)
    wrong = missed + invented * inventions
    means = (np.sum(values, axis=0) if values else np.zeros(4)) + wrong * np.array([0, penalty, 0, 0])
    means = means / (len(values) + wrong) if values or wrong else np.array([1.0, 0.0, 1.0, 1.0])
    scores = dict(zip(("dice", "hd95", "nsd_05", "nsd_10"), means.tolist(), strict=True))
    return {**scores, "found": found, "missed": missed, "invented": invented}


def hd95_by_area(reference, prediction, spacing, penalty):
    package = surface_distance()
    if not reference.any() and not prediction.any():
        return 0.0
    distances = package.compute_surface_distances(reference, prediction, spacing)
    found = float(package.compute_robust_hausdorff(distances, 95))
    return float(penalty) if math.isinf(found) else found


def surface_dice(one, other, tolerance, spacing):
    from medpy.metric import binary

    directed = getattr(binary, "__surface_distances")
    shares = [np.mean(directed(*pair, spacing, 1) <= tolerance) for pair in ((one, other), (other, one))]
    return float(np.mean(shares))


PEERS = {"brats-evaluation": brats_evaluation, "lesions-2023": lesions_2023, "lesions-2024": lesions_2024}


def main(peer, challenge, scripts, folder):
    warnings.simplefilter("ignore")
    os.environ["PANOPTICA_CITATION_REMINDER"] = "false"
    printed, sys.stdout = sys.stdout, sys.stderr  # the tools print too
    scripts = scripts if scripts == "-" else str(Path(scripts).resolve())
    folder = Path(folder).resolve()
    measure, found = PEERS[peer](challenge, scripts), {}
    with tempfile.TemporaryDirectory() as room:
        os.chdir(room)  # the scripts of 2024 write next to where they run
        for reference in sorted((folder / "references").iterdir()):
            begun = time.perf_counter(), time.process_time()
            values = measure(reference, folder / "predictions" / reference.name)
            spent = time.perf_counter() - begun[0], time.process_time() - begun[1]
            name = reference.name.removesuffix(".nii.gz")
            found[name] = {"wall": spent[0], "processor": spent[1], "values": values}
        os.chdir(folder)
    print(json.dumps(found), file=printed)


if __name__ == "__main__":
    main(*sys.argv[1:])
