"""Cohorts with a cavity: which cases they may hold, what is known of each, and what a network learns from it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brats_ml import files
from brats_ml.adapters.case_files.array_file import read_case
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import Volume, write_volume
from brats_ml.cohort.cases import Case
from brats_ml.cohort.labels import LABEL_SETS
from brats_ml.cohort.phantom import phantom_affine
from brats_ml.cohort.phantom_cohort import phantom_cohort
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.dataset.examination import measure
from brats_ml.dataset.label_sets import known_regions, of_preprocessed
from brats_ml.errors import CohortError, ConfigError
from brats_ml.stages import preprocess, train_baseline, validate
from brats_ml.stages.evaluate import summary_of
from brats_ml.workspace import Workspace

SHAPE = (32, 32, 32)
POST = "glioma-post-treatment"
GRID = VoxelGrid(SHAPE, phantom_affine(SHAPE))
AFTER, BEFORE, OPEN = "BraTS-GLI-90001-100", "BraTS20_Training_501", "PAT_0001"


def write_cohort(folder: Path) -> None:
    """Write a case after treatment, one before it, and one with a name that says neither."""
    (treated,) = phantom_cohort(cases=1, shape=SHAPE, seed=0, cavity_share=1.0)
    untreated, other = phantom_cohort(cases=2, shape=SHAPE, seed=0)
    for name, case in ((AFTER, treated), (BEFORE, untreated), (OPEN, other)):
        (folder / name).mkdir(parents=True)
        for role, volume in {**case.images, "seg": case.label}.items():
            write_volume(folder / name / volume_name(name, role), volume, VoxelGrid(SHAPE, case.affine))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory, make_params: Callable[[dict[str, Any]], Params]) -> Workspace:
    """A workspace after `preprocess` of a mixed cohort that is declared. Read only."""
    ws = Workspace(tmp_path_factory.mktemp("mixed"))
    write_cohort(ws.raw.path)
    ws.tables.path.mkdir(parents=True)
    params = make_params({"acquire.naming.label_set": POST, "validate.minimum_valid_share": 1.0})
    validate.run(ws, params)
    preprocess.run(ws, params)
    return ws


def test_a_mixed_cohort_that_is_not_declared_is_refused_before_anything_is_written(
    tmp_path: Path, params: Params
) -> None:
    ws = Workspace(tmp_path)
    for name in (AFTER, BEFORE):
        (ws.raw.path / name).mkdir(parents=True)
        (ws.raw.path / name / volume_name(name, "t1")).touch()

    with pytest.raises(CohortError, match=rf"mixes {POST} \({AFTER}\) and glioma \({BEFORE}\): set acquire.naming"):
        validate.run(ws, params)

    assert not ws.validation.path.exists()


def test_the_index_says_what_is_not_known_of_a_case(mixed: Workspace) -> None:
    index, label_set = files.read_json(mixed.preprocessed.index), of_preprocessed(mixed.preprocessed)

    assert label_set is LABEL_SETS[POST]
    assert {name: entry.get("unknown_regions") for name, entry in index.items()} == {
        AFTER: None,
        BEFORE: None,
        OPEN: ["RC"],
    }
    known = known_regions(mixed.preprocessed, [AFTER, OPEN], label_set)
    assert known is not None
    assert known.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert known_regions(mixed.preprocessed, [AFTER, BEFORE], label_set) is None
    labels = read_case(mixed.preprocessed.case(AFTER)).label
    assert labels is not None
    assert label_set.labels["RC"] in labels


def test_the_headers_count_the_voxels_of_the_cavity(mixed: Workspace) -> None:
    headers = pd.read_csv(mixed.validation.headers).query("modality == 'seg'").set_index("case_id")

    assert headers.loc[AFTER, "voxels_RC"] > 0
    assert files.read_json(mixed.validation.manifest)["label_set"] == POST


def test_the_baseline_refuses_a_case_with_an_unknown_region_by_name(mixed: Workspace, params: Params) -> None:
    recipe, parts = params.recipe("baseline_mini"), {"train": [AFTER, OPEN], "validation": []}

    with pytest.raises(ConfigError, match=rf"cannot learn from {OPEN}, since nobody knows whether it has RC"):
        train_baseline.fit(
            recipe,  # type: ignore[arg-type]
            params.train,
            cases=mixed.preprocessed,
            parts=parts,
            folder=mixed.root,
            tracked=None,  # type: ignore[arg-type]
        )


def test_a_mean_over_fewer_cases_says_over_how_many() -> None:
    table = pd.DataFrame({"case_id": ["a", "b"], "patient": ["a", "b"]})
    table[["dice_WT", "reference_volume_mm3_WT"]] = [[0.8, 10.0], [0.6, 10.0]]
    table[["dice_RC", "reference_volume_mm3_RC"]] = [[0.4, 5.0], [np.nan, np.nan]]
    table[["dice_CC", "reference_volume_mm3_CC"]] = np.nan

    summary = summary_of(table, trained=True)

    assert summary["mean"]["dice_WT"] == pytest.approx(0.7)
    assert summary["mean"]["dice_RC"] == pytest.approx(0.4)
    assert (summary["known"]["dice_RC"], summary["known"]["dice_CC"]) == (1, 0)
    assert "dice_WT" not in summary["known"]
    assert "dice_CC" not in summary["mean"]


def test_a_cavity_is_no_tumour_outside_the_brain_and_after_treatment_no_tumour_may_be_left(params: Params) -> None:
    brain = np.zeros(SHAPE, dtype=np.int16)
    brain[4:28, 4:28, 4:28] = np.random.default_rng(0).integers(50, 900, (24, 24, 24))
    labels = np.zeros(SHAPE, dtype=np.uint8)
    labels[10:14, 10:14, 10:14] = 2
    labels[0:3, 0:3, 0:3] = 4
    volumes = {role: Volume(array, GRID, 0.0, is_oriented=True) for role, array in (("t1", brain), ("seg", labels))}

    def rows(case_id: str, scheme: str) -> dict[str, dict[str, Any]]:
        case = Case(case_id, case_id, {"t1": "t1"}, "seg", scheme)
        found, _ = measure(case, volumes, params.validate_, needed=["t1"])
        return {row["modality"]: row for row in found}

    assert rows(AFTER, "brats2024")["seg"]["outside_brain_share"] == 0
    assert rows(BEFORE, "brats2017-2021")["seg"]["outside_brain_share"] > 0
    volumes["seg"] = Volume(np.zeros_like(labels), GRID, 0.0, is_oriented=True)
    assert rows(AFTER, "brats2024")["seg"]["tumour_voxels"] is None
    assert rows(BEFORE, "brats2017-2021")["seg"]["tumour_voxels"] == 0
