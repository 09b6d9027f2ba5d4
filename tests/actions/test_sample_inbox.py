"""The inbox is filled with unseen patients, and never with more than was asked for."""

from pathlib import Path

import pandas as pd
import pytest

from brats_ml.actions import sample_inbox
from brats_ml.cohort.cases import find_cases
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.config import Params, load
from brats_ml.files import digest_tree
from brats_ml.workspace import Workspace


@pytest.fixture
def params() -> Params:
    shipped = load(Path(__file__).parents[2] / "params.yaml")
    small = shipped.phantom.model_copy(update={"shape": [32, 32, 32]})
    return shipped.model_copy(update={"phantom": small})


def test_unseen_patients_have_every_modality_and_no_label_map(tmp_path: Path, params: Params) -> None:
    ws = Workspace(tmp_path)

    sample_inbox.run(ws, params, cases=2)

    found = find_cases(path.relative_to(ws.inbox.path).as_posix() for path in ws.inbox.path.rglob("*.nii.gz"))
    assert [case.case_id for case in found] == ["BraTS20_Validation_501", "BraTS20_Validation_502"]
    assert all(case.missing == [] and case.label is None for case in found)
    assert {len(case.images) for case in found} == {len(MODALITIES)}


def test_the_table_tells_ages_and_no_survival(tmp_path: Path, params: Params) -> None:
    sample_inbox.run(Workspace(tmp_path), params, cases=2)

    table = pd.read_csv(tmp_path / "inbox/survival_info.csv")
    assert table["Brats20ID"].tolist() == ["BraTS20_Validation_501", "BraTS20_Validation_502"]
    assert table["Age"].between(18, 100).all()
    assert table["Survival_days"].isna().all()


def test_an_inbox_that_holds_anything_is_left_as_it_is(tmp_path: Path, params: Params) -> None:
    ws = Workspace(tmp_path)
    ws.inbox.path.mkdir()
    (ws.inbox.path / "mine.txt").touch()

    report = sample_inbox.run(ws, params, cases=2)

    assert [path.name for path in ws.inbox.path.iterdir()] == ["mine.txt"]
    assert "is not empty and stays as it is" in str(report)


def test_equal_parameters_give_equal_bytes(tmp_path: Path, params: Params) -> None:
    for name in ("one", "other"):
        sample_inbox.run(Workspace(tmp_path / name), params, cases=1)

    assert digest_tree(tmp_path / "one/inbox") == digest_tree(tmp_path / "other/inbox")


def test_treated_patients_have_numbers_that_no_cohort_has(tmp_path: Path, params: Params) -> None:
    ws = Workspace(tmp_path)
    treated = params.phantom.model_copy(update={"time_points": 2})

    sample_inbox.run(ws, params.model_copy(update={"phantom": treated}), cases=3)

    found = find_cases(path.relative_to(ws.inbox.path).as_posix() for path in ws.inbox.path.rglob("*.nii.gz"))
    names = ["BraTS-GLI-91001-100", "BraTS-GLI-91001-101", "BraTS-GLI-91002-100"]
    assert [case.case_id for case in found] == names
    assert pd.read_csv(tmp_path / "inbox/survival_info.csv")["BraTS24ID"].tolist() == [name[:-4] for name in names[1:]]
