"""Compare the quality that is stated without a reference with the true Dice, and count how often intervals are right.

Region networks train on thirteen of the real cases in BRATS_REAL_DATA, in three folds, for three lengths, of which the
shorter ones err more. Each of the thirteen is predicted by the network that has not seen it, and each of the six unseen
cases of `accuracy.py` by all three. Every case is also degraded in six ways, as `_qc_ladder.py` describes. The score of
a case never comes from a calibration with that case in it.

The score is compared with two others: the mean entropy alone, and a constant. Intervals of figures are bootstraps over
patients, since the versions of a case are no independent cases.

    python benchmarks/qc.py             # about an hour on two cores; trained networks and predictions are kept
    python benchmarks/qc.py --phantoms  # coverage on phantoms alone, a few minutes
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _frame import report, table

# The import of _frame sets variables that TensorFlow reads on import.
# isort: split
import _qc_phantoms
from _qc_predictions import CLEAN, Version, versions
from accuracy import prepared
from scipy.stats import rankdata, spearmanr

from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.cohort.labels import REGIONS
from brats_ml.config.quality import Quality
from brats_ml.imaging.quality.familiarity import case_profile
from brats_ml.intervals import percentile_interval
from brats_ml.models.calibration import Calibration
from brats_ml.models.quality import judge
from brats_ml.models.quality_fit import HeldOut, calibrate
from brats_ml.workspace import Workspace

LENGTHS = (60, 200, 600)  # steps of a training
POOR = 0.7  # mean Dice of the regions below which a case is poor
RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--phantoms", action="store_true", help="measure the coverage on phantoms alone")
    options = parser.parse_args()
    figures = phantom_figures()
    if not options.phantoms:
        root = prepared(os.environ.get("BRATS_REAL_DATA"))
        figures |= real_figures(root, list(versions(root, LENGTHS)))
    report(**figures)


def phantom_figures() -> dict[str, float]:
    calibrating, judged = _qc_phantoms.held_out()
    profiles = [case.observation.profile for case in calibrating]
    calibration = Calibration.model_validate(
        calibrate(calibrating, part="validation", profiles=profiles, settings=Quality())
    )
    records = [judge(case.observation, calibration) for case in judged]
    inside = covered(judged, records)
    table([
        {"region": region, "coverage": float(share)} for region, share in zip(REGIONS, inside.mean(axis=0), strict=True)
    ], title=f"{len(judged)} phantoms, intervals by {len(calibrating)} others")  # fmt: skip
    scores = np.array([record["score"] for record in records])
    true = np.array([np.mean(list(case.dice.values())) for case in judged])
    return {
        "coverage_90_phantoms": float(inside.mean()),
        **{
            f"coverage_90_phantoms_{region}": float(share)
            for region, share in zip(REGIONS, inside.mean(0), strict=True)
        },
        "qc_spearman_phantoms": float(spearmanr(scores, true).statistic),
        "qc_error_phantoms": float(np.abs(scores - true).mean()),
        "reviewed_share_phantoms": float(np.mean([record["review"] for record in records])),
    }


def calibrations(root: Path, found: Sequence[Version]) -> dict[tuple[int, str], dict[str, Any]]:
    """Return the calibration of each training for each case: by the other out-of-fold cases as they were acquired."""
    ws = Workspace(root)
    profiles = {}
    for case in {version.case for version in found if not version.unseen}:
        stored = read_labelled_case(ws.preprocessed.case(case))
        profiles[case] = case_profile(stored.image, stored.label)
    made = {}
    for steps in LENGTHS:
        known = [one for one in found if one.steps == steps and one.kind == CLEAN and not one.unseen]
        for case in {version.case for version in found}:
            made[steps, case] = calibrate(
                [one.outcome for one in known if one.case != case],
                part="out_of_fold",
                profiles=[profile for name, profile in sorted(profiles.items()) if name != case],
                settings=Quality(),
            )
    return made


def real_figures(root: Path, found: Sequence[Version]) -> dict[str, float]:
    by_case = {key: Calibration.model_validate(made) for key, made in calibrations(root, found).items()}
    records = [judge(one.outcome.observation, by_case[one.steps, one.case]) for one in found]
    scores = {
        "qc": np.array([record["score"] for record in records]),
        "entropy": np.array([-1.0 if record["entropy"] is None else -record["entropy"] for record in records]),
        "constant": np.zeros(len(records)),
    }
    longest = np.array([one.steps == max(LENGTHS) for one in found])
    clean = np.array([one.kind == CLEAN for one in found])
    unseen = np.array([one.unseen for one in found])
    everything = np.ones(len(found), dtype=np.bool_)
    groups = {
        "": everything, "_out_of_fold": ~unseen, "_unseen": unseen, "_clean": clean, "_degraded": ~clean,
        "_clean_longest": clean & longest,
    }  # fmt: skip
    lines, figures = [], {}
    for ending, chosen in groups.items():
        rows = [one for one, is_chosen in zip(found, chosen, strict=True) if is_chosen]
        for name, values in scores.items():
            measured = agreement(rows, values[chosen])
            figures |= {f"{name}_{figure}{ending}": value for figure, value in measured.items()}
            counted = {"versions": len(rows), "poor": sum(one.dice < POOR for one in rows)}
            lines.append({"cases": ending.strip("_") or "all", **counted, "score": name} | measured)
    table(lines, title="Agreement with the true mean Dice of the regions")
    show_kinds(found, records)
    own = clean & longest
    inside = covered(
        [one.outcome for one, is_own in zip(found, own, strict=True) if is_own],
        [record for record, is_own in zip(records, own, strict=True) if is_own],
    )
    degraded_too = covered([one.outcome for one in found], records)
    of_unseen = np.array([one.unseen for one, is_own in zip(found, own, strict=True) if is_own])
    return figures | {
        "coverage_90_real": float(inside.mean()),
        "coverage_90_unseen": float(inside[of_unseen].mean()),
        "coverage_90_degraded": float(degraded_too[~clean].mean()),
        "qc_error_clean_longest": float(np.abs(scores["qc"] - [one.dice for one in found])[own].mean()),
    }


def agreement(rows: Sequence[Version], scores: Any) -> dict[str, float]:
    """Return Spearman's correlation with the true Dice and the AUROC for poor cases, with their intervals."""
    true = np.array([one.dice for one in rows])
    cases = sorted({one.case for one in rows})
    of_case = {case: np.flatnonzero([one.case == case for one in rows]) for case in cases}
    generator = np.random.default_rng(0)
    drawn = [
        np.concatenate([of_case[cases[at]] for at in generator.integers(0, len(cases), len(cases))])
        for _ in range(RESAMPLES)
    ]
    found: dict[str, float] = {}
    measures: dict[str, Callable[[Any, Any], float]] = {"spearman": spearman, "auroc": auroc}
    for name, measure in measures.items():
        interval = percentile_interval(
            measure(scores, true), np.array([measure(scores[rows_of], true[rows_of]) for rows_of in drawn])
        )
        found |= {name: interval.mean, f"{name}_low": interval.low or 0.0, f"{name}_high": interval.high or 0.0}
    return found


def spearman(scores: Any, true: Any) -> float:
    """Return the correlation of the ranks, 0 where one side is constant."""
    if np.ptp(scores) == 0 or np.ptp(true) == 0:
        return 0.0
    return float(spearmanr(scores, true).statistic)


def auroc(scores: Any, true: Any) -> float:
    """Return the probability that a poor case has a lower score than another one; one half without either kind."""
    poor = true < POOR
    number = int(poor.sum())
    if number in (0, len(poor)):
        return 0.5
    ranks = rankdata(-scores)
    return float((ranks[poor].sum() - number * (number + 1) / 2) / (number * (len(poor) - number)))


def covered(outcomes: Sequence[HeldOut], records: Sequence[dict[str, Any]]) -> Any:
    """Return whether the true volume of each region is in its interval, shape (case, region)."""
    return np.array([
        [
            record["volume_intervals_mm3"][region]["low"] <= outcome.volumes_mm3[region] + 0.05
            and outcome.volumes_mm3[region] - 0.05 <= record["volume_intervals_mm3"][region]["high"]
            for region in REGIONS
        ]
        for outcome, record in zip(outcomes, records, strict=True)
    ])  # fmt: skip


def show_kinds(found: Sequence[Version], records: Sequence[dict[str, Any]]) -> None:
    lines = []
    for steps, kind in dict.fromkeys((one.steps, one.kind) for one in found):
        chosen = [at for at, one in enumerate(found) if (one.steps, one.kind) == (steps, kind)]
        lines.append({
            "steps": steps, "image": kind, "Dice": float(np.mean([found[at].dice for at in chosen])),
            "score": float(np.mean([records[at]["score"] for at in chosen])),
            "entropy": float(np.mean([records[at]["entropy"] or 0 for at in chosen])),
            "disagreement": float(np.mean([records[at]["disagreement"] for at in chosen])),
            "distance": float(np.mean([records[at]["distance"] for at in chosen])),
            "reviewed": f"{sum(records[at]['review'] for at in chosen)}/{len(chosen)}",
        })  # fmt: skip
    table(lines, title="Means over nineteen cases")


if __name__ == "__main__":
    sys.exit(main())
