"""The processor time of `validate` and `preprocess` for growing cohorts, with empty caches and with full ones."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _frame import ROOT
from _scale_scoring import Cost, brats

from brats_ml.config.edit import override
from brats_ml.workspace import Workspace

# A stage with an empty cache, and again with a full one, as after all its shards.
STAGES = ("validate", "validate again", "preprocess", "preprocess again")


@dataclass(frozen=True)
class Fit:
    """A straight line through the seconds of processor time of growing cohorts.

    Attributes:
        stage: One of `STAGES`.
        seconds: By the number of cases.
        fixed_s: Where the line begins.
        case_s: Seconds of a further case.
        residual: The largest distance from the line, as a share of the seconds.
        wall_s: Seconds from start to end for the largest cohort.
        peak_mb: The largest memory of a process.
    """

    stage: str
    seconds: dict[int, float]
    fixed_s: float
    case_s: float
    residual: float
    wall_s: float
    peak_mb: float

    def at(self, cases: int) -> float:
        """Return the seconds for a number of cases, by the line."""
        return self.fixed_s + self.case_s * cases


def measure(folder: Path, *, sizes: Sequence[int], shape: Sequence[int]) -> tuple[list[Fit], dict[str, float]]:
    """Return a fit of each stage, and the bytes of a case by what they are for."""
    core = min(os.sched_getaffinity(0))
    whole = _checkout(folder / "whole", cases=max(sizes), shape=shape)
    for stage in ("source", "acquire"):
        brats(whole.root, stage, core=core)
    costs: dict[str, dict[int, Cost]] = {stage: {} for stage in STAGES}
    for size in sizes:
        ws = _checkout(folder / str(size), cases=size, shape=shape)
        shutil.copytree(whole.tables.path, ws.tables.path)
        for case in sorted(path for path in whole.raw.path.iterdir() if path.is_dir())[:size]:
            shutil.copytree(case, ws.raw.path / case.name, copy_function=os.link)
        for stage in STAGES:
            costs[stage][size] = brats(ws.root, stage.partition(" ")[0], core=core)
    return [_fit(stage, found) for stage, found in costs.items()], _bytes(ws, max(sizes))


def _checkout(root: Path, *, cases: int, shape: Sequence[int]) -> Workspace:
    root.mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", root)
    override(root / "params.yaml", [f"phantom.cases={cases}", f"phantom.shape={list(shape)}"])
    return Workspace(root)


def _fit(stage: str, found: dict[int, Cost]) -> Fit:
    seconds = {size: cost.cpu_s for size, cost in found.items()}
    case_s, fixed_s = np.polyfit(list(seconds), list(seconds.values()), 1)
    residual = max(abs(spent - (fixed_s + case_s * size)) / spent for size, spent in seconds.items())
    peak = max(cost.peak_mb for cost in found.values())
    return Fit(stage, seconds, fixed_s, case_s, residual, found[max(found)].wall_s, peak)


def _bytes(ws: Workspace, cases: int) -> dict[str, float]:
    """Return the bytes of a case in each folder and file that grows with the cohort."""
    grown = {
        "raw": ws.raw.path,
        "preprocessed": ws.preprocessed.path,
        "manifest": ws.validation.manifest.path,
        "headers": ws.validation.headers.path,
        "examinations": ws.state.examinations.path,
    }
    return {name: _size(path) / cases for name, path in grown.items()}


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
