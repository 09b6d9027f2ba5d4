"""Pictures of the best, the median and the ten worst cases of an evaluation."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from brats_ml.adapters.case_files.array_file import read_labelled_case
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_volume
from brats_ml.cohort.case_labels import writing_scheme
from brats_ml.cohort.labels import GLIOMA, LABEL_SETS, SCHEMES, LabelSet
from brats_ml.cohort.modalities import MODALITIES, TITLES, Modality, available
from brats_ml.imaging.geometry import uncrop
from brats_ml.reports.overlays import three_planes
from brats_ml.reports.panels import DPI, write_figure
from brats_ml.workspace.outputs import NOTABLE_RANKS, WORST_RANKS, EvaluationFolder, PreprocessedFolder

BACKGROUND: Modality = "t1ce"
# Pictures of the other worst cases are smaller, since a report page shows nine of them.
SMALL_DPI = 72


def draw_notable(
    folder: EvaluationFolder,
    preprocessed: PreprocessedFolder,
    table: pd.DataFrame,
    records: list[dict[str, Any]],
    label_set: LabelSet = LABEL_SETS[GLIOMA],
) -> None:
    """Write the planes of the cases that `notable_cases` returns.

    Masks are read one by one, so that an evaluation of many cases needs no more memory than one of few.

    Args:
        folder: The evaluation, with the masks written.
        preprocessed: Its cases.
        table: One row a case, with the Dice of the regions.
        records: The manifest's records of the same cases.
        label_set: The label set of the model and of the cohort.
    """
    cases = {record["case_id"]: record for record in records}
    scores = table.set_index("case_id")[[f"dice_{region}" for region in label_set.regions]]
    places = {case_id: place for place, case_id in enumerate(best_first(scores.mean(axis="columns")), start=1)}
    for rank, case_id in notable_cases(scores.mean(axis="columns")).items():
        record = cases[case_id]
        case = read_labelled_case(preprocessed.case(case_id))
        stored = read_volume(folder.mask(case_id)).array
        canonical = VoxelGrid.from_dict(record["grid"]).to_canonical(stored)
        shown = available(BACKGROUND, record["images"])
        figure = three_planes(
            uncrop(case.image[MODALITIES.index(shown)], case.start, case.full_shape),
            uncrop(case.label, case.start, case.full_shape),
            SCHEMES[writing_scheme(case_id, record["scheme"], label_set)].to_canonical(canonical),
            title=f"{case_id}, place {places[case_id]} of {len(table)}: {_dice_line(scores.loc[case_id].to_dict())}",
            modality=TITLES[shown],
            labels=tuple(label_set.labels),
        )
        write_figure(folder.planes(rank, case_id), figure, dpi=DPI if rank in NOTABLE_RANKS else SMALL_DPI)


def notable_cases(scores: "pd.Series[float]") -> dict[str, str]:
    """Return the best, the median and the ten worst cases by rank, none of them twice; few cases have fewer ranks.

    Args:
        scores: By case id. Of equal scores, the first case id ranks first.
    """
    order = best_first(scores)
    found = {"best": order[:1], "median": order[1:-1][_middle(len(order) - 2) :][:1]}
    left = [case_id for case_id in reversed(order) if [case_id] not in found.values()]
    found |= {rank: [case_id] for rank, case_id in zip(WORST_RANKS, left, strict=False)}
    return {rank: case_ids[0] for rank, case_ids in found.items() if case_ids}


def best_first(scores: "pd.Series[float]") -> list[str]:
    """Return the case ids by falling score; of equal scores, the first case id comes first."""
    order: list[str] = scores.sort_index().sort_values(ascending=False, kind="stable").index.tolist()
    return order


def _middle(count: int) -> int:
    return max(count - 1, 0) // 2


def _dice_line(dice: Mapping[Any, float]) -> str:
    known = {str(name).removeprefix("dice_"): value for name, value in dice.items() if not np.isnan(value)}
    regions = ", ".join(f"{region} {value:.3f}" for region, value in known.items())
    return f"Dice {regions}, mean {np.mean(list(known.values())):.3f}"
