"""The files of a prediction besides its label map, and the tables of a batch."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel.orientations import aff2axcodes
from PIL import Image
from scipy.special import expit, logit

from brats_ml.actions import prediction_table, score, unscored
from brats_ml.actions.trace import trace
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_volume, write_volume
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.cohort.labels import REGIONS, SCHEMES
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.config.quality import Quality
from brats_ml.errors import ConfigError, TableError
from brats_ml.files import SEAL, write_json, write_sealed
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder
from tests.actions.registered_models import TRAINED, copy_workspace, make_champion, own_store, register

FIRST, SECOND = "BraTS20_Validation_501", "BraTS20_Validation_502"
Crown = Callable[[str, int], None]


@pytest.fixture(scope="module")
def scored(template: Workspace, quick_params: Params, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Two cases that the model by regions has scored, without probabilities. Read only."""
    with own_store():
        ws = copy_workspace(template, tmp_path_factory.mktemp("scored") / "ws")
        make_champion(ws, "segmentation", 2)
        score.run(ws, quick_params)
        yield ws


def prediction(ws: Workspace, case_id: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(ws.predictions().case(case_id).prediction.path.read_text())
    return read


def waiting(ws: Workspace, params: Params, **options: Any) -> int:
    shards = unscored.run(ws, params, **options).details["shards"]
    return sum(map(len, shards))


def test_a_prediction_has_a_picture_of_three_planes(scored: Workspace) -> None:
    with Image.open(scored.predictions().case(FIRST).preview.path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)

    assert pixels.shape[1] > pixels.shape[0] > 32
    # Grey tissue, and the colours of labels.
    assert (np.ptp(pixels, axis=-1) == 0).any()
    assert (np.ptp(pixels, axis=-1) > 40).sum() > 50


def test_probabilities_asked_for_later_are_added_and_nothing_else_changes(
    again: Workspace, quick_params: Params
) -> None:
    folder = again.predictions().case(FIRST)
    before = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    assert waiting(again, quick_params) == 0
    assert waiting(again, quick_params, probabilities=True) == 2

    assert "2 scored, 0 kept" in str(score.run(again, quick_params, probabilities=True))

    after = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    added = folder.probabilities(FIRST).name
    assert set(after) - set(before) == {added}
    assert {name for name in before if after[name] != before[name]} <= {folder.prediction.path.name}
    # What was there is in the new folder, so no copy of it is kept.
    assert not again.predictions().earlier(FIRST, "x").parent.exists()
    assert set(prediction(again, FIRST)["files"]) == {added, folder.preview.path.name}
    assert waiting(again, quick_params, probabilities=True) == 0
    assert waiting(again, quick_params) == 0
    assert "0 scored, 2 kept" in str(score.run(again, quick_params, probabilities=True))
    assert "0 scored, 2 kept" in str(score.run(again, quick_params))


def test_probabilities_are_in_the_grid_of_the_case_and_give_its_labels(
    again: Workspace, quick_params: Params, tmp_path: Path
) -> None:
    for modality in MODALITIES:
        path = again.inbox.path / FIRST / volume_name(FIRST, modality)
        turned = nib.as_closest_canonical(nib.load(path))
        grid = VoxelGrid(turned.shape, turned.affine)
        write_volume(path, np.asarray(turned.dataobj).astype(np.int16), grid)

    score.run(again, quick_params, only=[FIRST], probabilities=True)

    folder = again.predictions().case(FIRST)
    read = nib.load(folder.probabilities(FIRST))
    labels = nib.load(folder.labels(FIRST))
    assert read.shape == (*labels.shape, len(REGIONS))
    assert aff2axcodes(read.affine) == ("R", "A", "S")
    np.testing.assert_allclose(read.affine, labels.affine)
    shares = read.get_fdata()
    assert 0 <= shares.min() < shares.max() <= 1
    own = read_volume(folder.probabilities(FIRST)).array
    np.testing.assert_allclose(own, shares, atol=1e-6)
    whole = SCHEMES["brats2017-2021"].to_canonical(np.asarray(labels.dataobj)) > 0
    # The rules of the model have other thresholds than 0.5, so the label map only follows the probabilities.
    assert shares[..., 0][whole].mean() > 2 * shares[..., 0][~whole].mean()


def test_a_calibrated_model_writes_calibrated_probabilities(
    again: Workspace, quick_params: Params, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    score.run(again, quick_params, only=[FIRST], output=raw, probabilities=True)
    folder = ModelFolder(Path(shutil.copytree(TRAINED / "regions3d", again.root / "calibrated/data/regions3d")))
    stated = {
        "settings": Quality().model_dump(), "part": "validation", "cases": 3, "decay": 1.0, "fitted": False,
        "temperatures": dict.fromkeys(REGIONS, 2.0), "widths_mm": dict.fromkeys(REGIONS), "covered_by_release": {},
        "cohort": None,
    }  # fmt: skip
    write_json(folder.quality, stated)
    register(embedded_store(again.state), "segmentation", 3, again.root / "calibrated")
    make_champion(again, "segmentation", 3)

    score.run(again, quick_params, only=[FIRST], probabilities=True)

    before, after = (
        read_volume(again.predictions(output).case(FIRST).probabilities(FIRST)).array for output in (raw, None)
    )
    uncertain = (before > 0.1) & (before < 0.9)
    assert uncertain.any()
    np.testing.assert_allclose(after[uncertain], expit(logit(before[uncertain]) / 2), atol=0.01)


def test_the_baselines_probabilities_are_at_native_resolution_too(
    ws: Workspace, quick_params: Params, crown: Crown
) -> None:
    crown("segmentation", 1)

    score.run(ws, quick_params, only=[FIRST], probabilities=True)

    folder = ws.predictions().case(FIRST)
    shares = nib.load(folder.probabilities(FIRST)).get_fdata()
    labels = SCHEMES["brats2017-2021"].to_canonical(read_volume(folder.labels(FIRST)).array)
    assert shares.shape == (*labels.shape, 3)
    assert 0 <= shares.min() < shares.max() <= 1
    assert (shares[..., 0] >= shares[..., 1] - 0.003).all()
    assert shares[..., 0][labels > 0].mean() > 0.5 > shares[..., 0][labels == 0].mean()


@pytest.mark.parametrize(("what", "damage"), [("preview", "gone"), ("probabilities", "changed")])
def test_a_file_that_is_gone_or_changed_is_made_again(
    what: str, damage: str, again: Workspace, quick_params: Params
) -> None:
    score.run(again, quick_params, probabilities=True)
    folder = again.predictions().case(FIRST)
    path = folder.preview.path if what == "preview" else folder.probabilities(FIRST)
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    assert "1 scored, 1 kept" in str(score.run(again, quick_params, probabilities=what == "probabilities"))

    assert path.read_bytes() == whole


def test_a_trace_names_a_picture_that_was_changed(again: Workspace, quick_params: Params) -> None:
    again.predictions().case(FIRST).preview.path.write_bytes(b"other")

    found = trace(again, quick_params, FIRST, cases=None, output=None)

    assert {part.what: part.state for part in found.lost} == {"preview": "changed"}


def test_a_prediction_of_before_has_no_picture_and_stays(again: Workspace, quick_params: Params) -> None:
    folder = again.predictions().case(FIRST)
    record = prediction(again, FIRST)
    write_sealed(folder.prediction, {name: value for name, value in record.items() if name not in ("files", SEAL)})
    folder.preview.path.unlink()

    assert "0 scored, 2 kept" in str(score.run(again, quick_params))


def test_the_table_is_written_as_parquet_with_the_same_cells(again: Workspace, quick_params: Params) -> None:
    target = again.predictions()
    prediction_table.run(again, quick_params)

    table, read = pd.read_csv(target.table), pd.read_parquet(target.parquet)

    assert list(read) == list(table)
    assert read["case_id"].tolist() == table["case_id"].tolist() == [FIRST, SECOND]
    np.testing.assert_allclose(read["WT_mm3"], table["WT_mm3"])
    # A column without any value has the type of its name, so that batches can be read together.
    assert read["days_low"].isna().all()
    assert str(read["days_low"].dtype) == "float64"
    assert read["survival_caveat"].isna().all()
    assert pd.api.types.is_string_dtype(read["survival_caveat"])


def test_an_output_folder_of_another_batch_is_refused_and_stays(
    again: Workspace, quick_params: Params, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(again.inbox.path, tmp_path / "other"))
    before = {path: path.read_bytes() for path in again.predictions().path.rglob("*") if path.is_file()}

    for run in (score.run, unscored.run):
        with pytest.raises(ConfigError, match=r"holds the predictions of the cases in .*inbox: name another folder"):
            run(again, quick_params, cases=other)

    assert {path: path.read_bytes() for path in again.predictions().path.rglob("*") if path.is_file()} == before
    score.run(again, quick_params, cases=other, output=tmp_path / "elsewhere", only=[FIRST])
    assert "kept" in str(score.run(again, quick_params))


def test_cases_and_predictions_may_move_together(again: Workspace, quick_params: Params, tmp_path: Path) -> None:
    moved = Workspace(Path(shutil.copytree(again.root, tmp_path / "moved")))

    assert "0 scored, 2 kept" in str(score.run(moved, quick_params))


def test_a_damaged_note_of_the_batch_is_named(again: Workspace, quick_params: Params) -> None:
    again.predictions().batch.path.write_text("[]")

    with pytest.raises(TableError, match=r"cases\.json: names no cases; remove it"):
        score.run(again, quick_params)
