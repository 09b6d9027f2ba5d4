"""Pictures of the best, the median and the worst case of an evaluation, drawn after all of them are scored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brats_ml.adapters.case_files.array_file import read_case
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.cohort.labels import REGIONS, SCHEMES
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.imaging.geometry import uncrop
from brats_ml.reports.overlays import three_planes
from brats_ml.reports.panels import write_figure
from brats_ml.workspace import Workspace

BACKGROUND = "t1ce"
DICE = [f"dice_{region}" for region in REGIONS]


def draw_notable(ws: Workspace, folder: Path, table: pd.DataFrame, records: list[dict[str, Any]]) -> None:
    """Write planes/<standing>_<case>.png below an evaluation's figures.

    Masks are read back one by one, so that an evaluation of many cases needs no more memory than one of few.

    Args:
        ws: Where the preprocessed cases are.
        folder: Of the evaluation, with the masks written.
        table: One row a case, with the Dice of the regions.
        records: Of the same cases, as the manifest has them.
    """
    cases = {record["case_id"]: record for record in records}
    scores = table.set_index("case_id")[DICE]
    for standing, case_id in notable_cases(scores.mean(axis="columns")).items():
        record = cases[case_id]
        case = read_case(ws.preprocessed / f"{case_id}.npz")
        if case.label is None:
            raise ValueError(f"case {case_id} has no reference label map")
        stored = read_volume(folder / f"masks/{case_id}.nii.gz").array
        canonical = VoxelGrid.from_dict(record["grid"]).to_canonical(stored)
        figure = three_planes(
            uncrop(case.image[MODALITIES.index(BACKGROUND)], case.start, case.full_shape),
            uncrop(case.label, case.start, case.full_shape),
            SCHEMES[record["scheme"]].to_canonical(canonical),
            title=f"{case_id}, {standing} of {len(table)}: {_dice_line(scores.loc[case_id].to_dict())}",
            modality="T1ce",
        )
        write_figure(folder / f"figures/planes/{standing}_{case_id}.png", figure)


def notable_cases(scores: "pd.Series[float]") -> dict[str, str]:
    """Return which case is best, median and worst by its score, none of them twice; fewer than three cases have fewer.

    Args:
        scores: By case id. Of equal ones the one whose id comes first stands first.
    """
    order = scores.sort_index().sort_values(ascending=False, kind="stable").index.tolist()
    found = {"best": order[:1], "worst": order[1:][-1:], "median": order[1:-1][_middle(len(order) - 2) :][:1]}
    return {standing: found[standing][0] for standing in ("best", "median", "worst") if found[standing]}


def _middle(count: int) -> int:
    return max(count - 1, 0) // 2


def _dice_line(dice: Mapping[Any, float]) -> str:
    regions = ", ".join(f"{region} {dice[f'dice_{region}']:.3f}" for region in REGIONS)
    return f"Dice {regions}, mean {np.mean(list(dice.values())):.3f}"
