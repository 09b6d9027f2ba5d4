from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brats_ml.adapters.case_files.array_file import PreprocessedCase, read_case, write_case
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_grid, read_volume, write_volume
from brats_ml.adapters.tables.frames import read_csv
from brats_ml.cohort.cases import find_cases
from brats_ml.cohort.labels import SCHEMES
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.config import Params
from brats_ml.errors import CaseError, ConfigError, MissingInputError
from brats_ml.files import digest_tree, write_json
from brats_ml.stages import features, preprocess
from brats_ml.survival.features import FEATURES, columns
from brats_ml.workspace import Workspace

COLUMNS = ["patient", "case_id", "masks", *FEATURES, "resection", "survival_days", "event"]
READY = """Brats20ID,Age,Survival_days,Extent_of_Resection,NCR_NET_ratio,ED_ratio,ET_ratio
BraTS20_Training_501,99.0,9,GTR,0.5,0.25,0.125
BraTS20_Training_900,61.5,ALIVE (361 days later),NA,0.5,0.25,0.125
"""


def validated(ws: Workspace, params: Params) -> list[dict[str, Any]]:
    """Write the manifest of the whole cohort and preprocess it."""
    cases = find_cases(path.relative_to(ws.raw.path).as_posix() for path in ws.raw.path.rglob("*.nii.gz"))
    records = [
        case.to_dict()
        | {
            "grid": read_grid(ws.raw.path / case.images["flair"]).to_dict(),
            "digest": digest_tree(ws.raw.path / case.case_id),
        }
        for case in cases
    ]
    write_json(ws.validation.manifest, {"cases": records})
    preprocess.run(ws, params)
    return records


def measured(ws: Workspace, params: Params, masks: str) -> pd.DataFrame:
    features.run(ws, params, masks=masks)
    return read_csv(ws.features(masks))


def predict(ws: Workspace, params: Params, record: dict[str, Any], labels: np.ndarray) -> None:
    """Write a full canonical label map as the evaluation writes predictions."""
    folder = ws.evaluation("test", params.features.predicted_by)
    grid = VoxelGrid.from_dict(record["grid"])
    stored = grid.to_stored(SCHEMES[record["scheme"]].from_canonical(labels))
    write_volume(folder.mask(record["case_id"]), stored, grid)
    write_json(folder.summary, {"verdict": "evaluated", "cases": 1, "mean": {}})
    for part in ("validation", "out_of_fold"):
        write_json(ws.evaluation(part, params.features.predicted_by).summary, {"cases": 0})


def test_reference_ratios_are_those_of_the_volumes_as_acquired(workspace: Workspace, params: Params) -> None:
    records = validated(workspace, params)

    table = measured(workspace, params, "reference").set_index("case_id")

    assert sorted(table.index) == [record["case_id"] for record in records]
    for record in records:
        stored = read_volume(workspace.raw.path / record["label"]).array
        t1 = read_volume(workspace.raw.path / record["images"]["t1"]).array
        expected = [(stored == value).sum() / (t1 != 0).sum() for value in (1, 2, 4)]
        np.testing.assert_allclose(
            table.loc[record["case_id"], ["ncr_ratio", "ed_ratio", "et_ratio"]].tolist(), expected
        )


def test_patients_carry_their_clinical_row_and_those_without_one_stay(workspace: Workspace, params: Params) -> None:
    validated(workspace, params)
    clinical = pd.read_csv(workspace.tables.path / "survival_info.csv", dtype=str).set_index("Brats20ID")

    table = measured(workspace, params, "reference")

    assert list(table.columns) == COLUMNS
    unknown = table[~table["patient"].isin(clinical.index)]
    assert len(unknown) == 1
    assert unknown[["age_years", "survival_days", "event"]].isna().all(axis=None)
    known = table[table["patient"].isin(clinical.index)]
    assert known["age_years"].tolist() == clinical["Age"].astype(float).loc[known["patient"]].tolist()


def test_event_is_one_for_death_and_zero_for_who_was_alive_when_last_seen(workspace: Workspace, params: Params) -> None:
    validated(workspace, params)
    (workspace.tables.path / "survival_info.csv").write_text(
        "Brats20ID,Age,Survival_days,Extent_of_Resection\n"
        "BraTS20_Training_501,60.5,289,GTR\n"
        "BraTS20_Training_502,50.0,ALIVE (361 days later),NA\n"
    )

    features.run(workspace, params, masks="reference")

    lines = workspace.features("reference").path.read_text().splitlines()
    assert lines[1].endswith(",GTR,289.0,1")
    assert lines[2].endswith(",NA,361.0,0")
    assert lines[3].endswith(",,,")


def test_a_ready_made_table_is_read_instead_of_measuring(workspace: Workspace, params: Params) -> None:
    validated(workspace, params)
    (workspace.tables.path / "survival_features.csv").write_text(READY)

    table = measured(workspace, params, "reference").set_index("patient")

    assert table.index.tolist() == ["BraTS20_Training_501", "BraTS20_Training_900"]
    assert table.loc["BraTS20_Training_900", ["ncr_ratio", "ed_ratio", "et_ratio", "event"]].tolist() == [
        0.5,
        0.25,
        0.125,
        0,
    ]


def test_a_ready_made_table_alone_is_an_ordinary_cohort(tmp_path: Path, params: Params) -> None:
    ws = Workspace(tmp_path)
    write_json(ws.validation.manifest, {"cases": []})
    ws.tables.path.mkdir(parents=True)
    (ws.tables.path / "survival_features.csv").write_text(READY)

    assert measured(ws, params, "reference")["patient"].tolist() == ["BraTS20_Training_501", "BraTS20_Training_900"]


def test_a_clinical_row_by_another_years_name_is_the_patients(workspace: Workspace, params: Params) -> None:
    validated(workspace, params)
    (workspace.tables.path / "2018").mkdir()
    (workspace.tables.path / "2018/name_mapping.csv").write_text(
        "BraTS_2018_subject_ID,BraTS_2020_subject_ID\nBrats18_X_1,BraTS20_Training_501\n"
    )
    (workspace.tables.path / "survival_info.csv").write_text("BraTS18ID,Age,Survival\nBrats18_X_1,61.5,289\n")

    table = measured(workspace, params, "reference").set_index("patient")

    assert table.loc["BraTS20_Training_501", ["age_years", "survival_days"]].tolist() == [61.5, 289]


def test_ready_made_features_come_under_the_one_name_of_the_patient(tmp_path: Path, params: Params) -> None:
    ws = Workspace(tmp_path)
    write_json(ws.validation.manifest, {"cases": [{"patient": "BraTS-GLI-00001", "aliases": ["BraTS20_Training_501"]}]})
    ws.tables.path.mkdir(parents=True)
    (ws.tables.path / "survival_features.csv").write_text(READY)

    table = measured(ws, params, "reference")

    assert table["patient"].tolist() == ["BraTS-GLI-00001", "BraTS20_Training_900"]
    assert table["case_id"].tolist() == ["BraTS20_Training_501", "BraTS20_Training_900"]


def test_cases_without_a_reference_label_map_have_no_reference_row(workspace: Workspace, params: Params) -> None:
    next(workspace.raw.path.glob("*_501/*_seg.nii.gz")).unlink()
    validated(workspace, params)

    assert "BraTS20_Training_501" not in measured(workspace, params, "reference")["patient"].tolist()


def test_a_prediction_equal_to_the_reference_has_its_features(workspace: Workspace, params: Params) -> None:
    record = validated(workspace, params)[2]
    stored = read_volume(workspace.raw.path / record["label"])
    canonical = stored.grid.to_canonical(stored.array)
    predict(workspace, params, record, SCHEMES[record["scheme"]].to_canonical(canonical))

    predicted = measured(workspace, params, "predicted")

    reference = measured(workspace, params, "reference")
    assert reference["masks"].eq("reference").all()
    expected = reference[reference["case_id"] == record["case_id"]].reset_index(drop=True)
    expected["masks"] = params.features.predicted_by
    pd.testing.assert_frame_equal(predicted, expected, check_dtype=False)


def test_masks_of_validation_and_of_test_patients_are_measured(workspace: Workspace, params: Params) -> None:
    validation, test = validated(workspace, params)[:2]
    empty = np.zeros(test["grid"]["shape"], dtype=np.uint8)
    predict(workspace, params, validation, empty)
    workspace.evaluation("test", params.features.predicted_by).path.rename(workspace.root / "kept")
    predict(workspace, params, test, empty)
    other = workspace.evaluation("validation", params.features.predicted_by)
    (workspace.root / "kept/masks").rename(other.path / "masks")

    table = measured(workspace, params, "predicted")

    assert table["case_id"].tolist() == sorted([validation["case_id"], test["case_id"]])
    assert table[["ncr_ratio", "ed_ratio", "et_ratio"]].eq(0).all(axis=None)


def test_shape_and_location_are_measured_where_they_are_asked_for(
    workspace: Workspace, make_params: Callable[[dict[str, Any]], Params]
) -> None:
    more = make_params({"survival.features": ["location", "shape"]})
    validated(workspace, more)

    table = measured(workspace, more, "reference")

    assert list(table.columns) == ["patient", "case_id", "masks", *columns(["shape", "location"]), *COLUMNS[-3:]]
    assert table["wt_extent"].between(0, 1).all()
    assert table["wt_off_midline"].between(0, 0.5).all()


def test_ready_made_features_are_not_taken_for_predicted_ones(workspace: Workspace, params: Params) -> None:
    record = validated(workspace, params)[0]
    (workspace.tables.path / "survival_features.csv").write_text(READY)
    predict(workspace, params, record, np.zeros(record["grid"]["shape"], dtype=np.uint8))

    assert measured(workspace, params, "predicted")["patient"].tolist() == ["BraTS20_Training_501"]


def test_without_predictions_there_are_columns_and_no_row(workspace: Workspace, params: Params) -> None:
    validated(workspace, params)
    summary = {"verdict": "not evaluated: no model was trained", "cases": 0, "mean": {}}
    for part in ("validation", "test", "out_of_fold"):
        write_json(workspace.evaluation(part, params.features.predicted_by).summary, summary)

    table = measured(workspace, params, "predicted")

    assert list(table.columns) == COLUMNS
    assert table.empty


def test_equal_input_gives_equal_bytes(workspace: Workspace, params: Params) -> None:
    validated(workspace, params)
    features.run(workspace, params, masks="reference")
    first = workspace.features("reference").path.read_bytes()

    features.run(workspace, params, masks="reference")

    assert workspace.features("reference").path.read_bytes() == first


def test_masks_that_nobody_knows_are_refused(workspace: Workspace, params: Params) -> None:
    with pytest.raises(ConfigError, match="masks drawn is unknown; known are: reference, predicted"):
        features.run(workspace, params, masks="drawn")


def test_a_missing_evaluation_names_the_command_that_makes_it(workspace: Workspace, params: Params) -> None:
    validated(workspace, params)

    with pytest.raises(MissingInputError, match=f"brats evaluate --recipe {params.features.predicted_by}"):
        features.run(workspace, params, masks="predicted")


def test_a_case_without_brain_is_named(workspace: Workspace, params: Params) -> None:
    record = validated(workspace, params)[0]
    path = workspace.preprocessed.case(record["case_id"])
    case = read_case(path)
    case.image[MODALITIES.index("t1")] = 0
    write_case(path, PreprocessedCase(case.image, case.label, case.start, case.full_shape))

    with pytest.raises(CaseError, match=f"case {record['case_id']}: the T1 volume"):
        features.run(workspace, params, masks="reference")


def test_the_real_case_001_has_the_ratios_of_the_derived_table(tmp_path: Path, params: Params, real_data: Path) -> None:
    name = "BraTS20_Training_001"
    ws = Workspace(tmp_path)
    ws.raw.path.mkdir(parents=True)
    (ws.raw.path / name).symlink_to(next(real_data.rglob(f"{name}/{name}_t1.nii*")).parent)
    cases = find_cases(path.relative_to(ws.raw.path).as_posix() for path in (ws.raw.path / name).iterdir())
    write_json(ws.validation.manifest, {"cases": [case.to_dict() | {"digest": ""} for case in cases]})
    ws.tables.path.mkdir()
    preprocess.run(ws, params)

    (row,) = measured(ws, params, "reference").to_dict("records")

    derived = pd.read_csv(real_data / "tables/brats2020_survival_features_derived.csv", index_col="Brats20ID")
    expected = derived.loc[name, ["NCR_NET_ratio", "ED_ratio", "ET_ratio"]].tolist()
    assert [row["ncr_ratio"], row["ed_ratio"], row["et_ratio"]] == expected
