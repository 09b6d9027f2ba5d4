"""Count false alarms of the comparison that `brats drift` makes, and how soon it finds another scanner.

Usage: python benchmarks/drift.py [FOLDER] [--phantoms N] [--batches N]. FOLDER has real cases; the environment variable
BRATS_REAL_DATA by default. The defaults take some minutes on two cores.

A batch is drawn from a pool of phantoms together with 30 training cases, so both are alike. Another scanner is one
change of all images of a batch: less resolution (a Gaussian of 0.6 voxels), another contrast (each modality to the
power of 0.8), more noise (0.2 standard deviations of the brain), or little more (0.1). Real cases are compared as they
come: those of one release with those of the others.

- `false_alarms`: share of batches without a change that raise an alarm at the shipped level, for batches of 8, 16 and
  40 cases together; at most 0.05 is promised. `false_alarms_error`: its standard error.
- `found_at_16_...`: share of batches of 16 cases with a change that raise one; `found_at_8_...` and `found_at_4_...`
  likewise.
- `without_correction`: share of false alarms if each feature were tested alone at the level.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from _frame import ROOT, report, table
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from brats_ml.adapters.case_folder import cases_in
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.phantom import phantom_patient
from brats_ml.config import load
from brats_ml.dataset.preprocessing import preprocess_case
from brats_ml.imaging.quality.drift import compare
from brats_ml.imaging.quality.familiarity import case_profile

Profile = dict[str, float]
Image = NDArray[np.float32]
SHAPE = (48, 48, 32)
TRAINING = 30
SIZES = (4, 8, 16, 40)
NULL_SIZES = (8, 16, 40)


def lower_resolution(image: Image, random: np.random.Generator) -> Image:
    return np.asarray(np.stack([gaussian_filter(volume, 0.6) for volume in image]) * (image != 0), dtype=np.float32)


def more_noise(image: Image, random: np.random.Generator, *, amount: float) -> Image:
    spread = np.array([volume[volume != 0].std() for volume in image])[:, None, None, None]
    return np.where(image != 0, np.maximum(image + amount * spread * random.normal(size=image.shape), 1), 0)


def other_contrast(image: Image, random: np.random.Generator) -> Image:
    return np.asarray(np.power(image, 0.8), dtype=np.float32)


CHANGES: dict[str, Callable[[Image, np.random.Generator], Image]] = {
    "none": lambda image, random: image,
    "resolution": lower_resolution,
    "contrast": other_contrast,
    "noise": partial(more_noise, amount=0.2),
    "little_noise": partial(more_noise, amount=0.1),
}


def phantom_profiles(index: int, seed: int) -> dict[str, Profile]:
    """Return the profile of a phantom for each change; volumes play no part in the comparison."""
    patient = phantom_patient(index, shape=SHAPE, seed=seed)
    image = np.stack([patient.images[name] for name in MODALITIES]).astype(np.float32)
    nothing, random = np.zeros(SHAPE, dtype=np.uint8), np.random.default_rng(index)
    return {name: case_profile(change(image, random).astype(np.float32), nothing) for name, change in CHANGES.items()}


def real_profiles(folder: Path) -> Iterator[tuple[str, Profile]]:
    """Yield the release of each real case, by its naming scheme and folder, and its profile."""
    for case in cases_in(folder, load(ROOT / "params.yaml").acquire.naming.rules):
        prepared, _ = preprocess_case(folder, case)
        nothing = np.zeros(prepared.image.shape[1:], dtype=np.uint8)
        yield next(iter(case.images.values())).partition("/")[0], case_profile(prepared.image, nothing)


def draw(pool: list[dict[str, Profile]], size: int, change: str, batches: int) -> list[tuple[float, float]]:
    """Return the p-value and the largest shift of random batches."""
    found = []
    for seed in range(batches):
        chosen = np.random.default_rng(seed).permutation(len(pool))[: TRAINING + size]
        training = [pool[at]["none"] for at in chosen[:TRAINING]]
        drift = compare(training, [pool[at][change] for at in chosen[TRAINING:]], seed=seed)
        if drift is not None:
            found.append((drift.p_value, abs(next(iter(drift.shifts.values())))))
    return found


def main() -> None:
    """Print the shares and the comparison of real releases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=os.environ.get("BRATS_REAL_DATA"))
    parser.add_argument("--phantoms", type=int, default=300)
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    level = load(ROOT / "params.yaml").drift.level
    pool = Parallel(options.jobs)(delayed(phantom_profiles)(index, 2020) for index in range(options.phantoms))
    keys = [(change, size) for change in CHANGES for size in SIZES]
    results = Parallel(options.jobs)(delayed(draw)(pool, size, change, options.batches) for change, size in keys)
    shares = {key: float(np.mean([p <= level for p, _ in found])) for key, found in zip(keys, results, strict=True)}
    table(
        [{"change": change} | {f"{size} cases": shares[change, size] for size in SIZES} for change in CHANGES],
        title=f"share of batches with an alarm at {level:g}",
    )
    null = [
        found for (change, size), found in zip(keys, results, strict=True) if change == "none" and size in NULL_SIZES
    ]
    alarms = np.array([p <= level for found in null for p, _ in found])
    alone = np.array([shift > norm.isf(level / 2) for found in null for _, shift in found])
    figures = {
        "false_alarms": float(alarms.mean()),
        "false_alarms_error": float(alarms.std() / np.sqrt(len(alarms))),
        "without_correction": float(alone.mean()),
    }
    changed = [change for change in CHANGES if change != "none"]
    for size in SIZES[:3]:
        figures |= {f"found_at_{size}_{change}": shares[change, size] for change in changed}
    if options.folder:
        figures |= compare_releases(list(real_profiles(Path(options.folder))))
    report(**figures)


def compare_releases(found: list[tuple[str, Profile]]) -> dict[str, float]:
    """Print and return the p-value of each release against the others."""
    rows, figures = [], {}
    for release in sorted({name for name, _ in found}):
        batch = [profile for name, profile in found if name == release]
        drift = compare([profile for name, profile in found if name != release], batch)
        if drift is not None:
            worst = ", ".join(list(drift.shifts)[:3])
            rows.append({"release": release, "cases": len(batch), "p": drift.p_value, "most in": worst})
            figures[f"p_{release}"] = drift.p_value
    if rows:
        table(rows, title="real cases of one release against the others")
    return figures


if __name__ == "__main__":
    main()
