from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brats_ml.adapters.case_files.array_file import PreprocessedCase, write_case
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import write_volume
from brats_ml.cohort.labels import LABELS, SCHEMES
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.imaging.geometry import uncrop
from brats_ml.reports.overlays import three_planes
from brats_ml.reports.panels import figure_png
from brats_ml.stages.evaluate_figures import draw_notable, notable_cases
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import WORST_RANKS, EvaluationFolder

GRID = VoxelGrid((20, 22, 18), np.diag([1.0, -1.0, 1.0, 1.0]))  # stored otherwise than canonically
CROP, START = (16, 18, 12), (2, 1, 3)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=14))
def test_notable_cases_are_the_extremes_and_the_middle_of_the_scores(scores: list[float]) -> None:
    series = pd.Series(scores, index=[f"c{number}" for number in range(len(scores))])

    found = notable_cases(series)

    expected = ["best", "median"] if len(scores) > 2 else ["best"]
    assert list(found) == [*expected, *WORST_RANKS[: len(scores) - len(expected)]]
    worst = [series[found[rank]] for rank in WORST_RANKS if rank in found]
    assert worst == sorted(worst)
    assert len(set(found.values())) == len(found)
    assert series[found["best"]] == series.max()
    if len(scores) > 1:
        assert series[found["worst"]] == series.min()
    if len(scores) > 2:
        assert series.rank(method="min")[found["median"]] <= len(scores) / 2 + 1
        assert series.rank(method="max")[found["median"]] >= len(scores) / 2


@pytest.fixture
def records(tmp_path: Path) -> list[dict[str, object]]:
    image = np.random.default_rng(0).integers(1, 400, (4, *CROP)).astype(np.int16)
    for number in range(3):
        label = np.zeros(CROP, dtype=np.uint8)
        label[4:9, 5:11, 3:8] = LABELS["ET"]
        case = PreprocessedCase(image, label, START, GRID.shape)
        write_case(Workspace(tmp_path).preprocessed.case(f"c{number}"), case)
        predicted = uncrop(np.roll(label, number, axis=1), START, GRID.shape)
        stored = GRID.to_stored(SCHEMES["brats2017-2021"].from_canonical(predicted))
        write_volume(EvaluationFolder(tmp_path).mask(f"c{number}"), stored, GRID)
    record = {"grid": GRID.to_dict(), "scheme": "brats2017-2021", "images": dict.fromkeys(MODALITIES, "")}
    return [{"case_id": f"c{number}", **record} for number in range(3)]


def test_masks_are_read_back_as_they_were_predicted(tmp_path: Path, records: list[dict[str, object]]) -> None:
    ws = Workspace(tmp_path)
    table = pd.DataFrame({"case_id": ["c0", "c1", "c2"]})
    table[["dice_WT", "dice_TC", "dice_ET"]] = [[1.0, 1.0, 1.0], [0.8, 0.7, 0.6], [0.3, 0.2, 0.1]]

    draw_notable(EvaluationFolder(tmp_path), ws.preprocessed, table, records)

    written = {path.stem: path.read_bytes() for path in (tmp_path / "figures/planes").iterdir()}
    assert set(written) == {"best_c0", "median_c1", "worst_c2"}
    with np.load(ws.preprocessed.case("c1")) as stored:
        t1ce, label = (uncrop(array, START, GRID.shape) for array in (stored["image"][2], stored["label"]))
    title = "c1, place 2 of 3: Dice WT 0.800, TC 0.700, ET 0.600, mean 0.700"
    expected = three_planes(t1ce, label, np.roll(label, 1, axis=1), title=title, modality="T1ce")
    assert written["median_c1"] == figure_png(expected)
