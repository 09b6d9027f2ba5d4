"""Pictures of the best, the median and the worst case of an evaluation."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.cohort.labels import REGIONS, SCHEMES
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.imaging.geometry import uncrop
from brats_ml.reports.overlays import three_planes
from brats_ml.reports.panels import write_figure
from brats_ml.workspace.outputs import EvaluationFolder, PreprocessedFolder

BACKGROUND = "t1ce"
DICE = [f"dice_{region}" for region in REGIONS]


def draw_notable(
    folder: EvaluationFolder, preprocessed: PreprocessedFolder, table: pd.DataFrame, records: list[dict[str, Any]]
) -> None:
    """Write the planes of the best, the median and the worst case of an evaluation.

    Masks are read one by one, so that an evaluation of many cases needs no more memory than one of few.

    Args:
        folder: The evaluation, with the masks written.
        preprocessed: Its cases.
        table: One row a case, with the Dice of the regions.
        records: The manifest's records of the same cases.
    """
    cases = {record["case_id"]: record for record in records}
    scores = table.set_index("case_id")[DICE]
    for rank, case_id in notable_cases(scores.mean(axis="columns")).items():
        record = cases[case_id]
        case = read_labelled_case(preprocessed.case(case_id))
        stored = read_volume(folder.mask(case_id)).array
        canonical = VoxelGrid.from_dict(record["grid"]).to_canonical(stored)
        figure = three_planes(
            uncrop(case.image[MODALITIES.index(BACKGROUND)], case.start, case.full_shape),
            uncrop(case.label, case.start, case.full_shape),
            SCHEMES[record["scheme"]].to_canonical(canonical),
            title=f"{case_id}, {rank} of {len(table)}: {_dice_line(scores.loc[case_id].to_dict())}",
            modality="T1ce",
        )
        write_figure(folder.planes(rank, case_id), figure)


def notable_cases(scores: "pd.Series[float]") -> dict[str, str]:
    """Return which case is best, median and worst by its score, none of them twice; fewer than three cases have fewer.

    Args:
        scores: By case id. Of equal scores, the first case id ranks first.
    """
    order = scores.sort_index().sort_values(ascending=False, kind="stable").index.tolist()
    found = {"best": order[:1], "worst": order[1:][-1:], "median": order[1:-1][_middle(len(order) - 2) :][:1]}
    return {rank: found[rank][0] for rank in ("best", "median", "worst") if found[rank]}


def _middle(count: int) -> int:
    return max(count - 1, 0) // 2


def _dice_line(dice: Mapping[Any, float]) -> str:
    regions = ", ".join(f"{region} {dice[f'dice_{region}']:.3f}" for region in REGIONS)
    return f"Dice {regions}, mean {np.mean(list(dice.values())):.3f}"
