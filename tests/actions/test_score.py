"""What scoring writes about a case, when it scores a case again, and what it refuses."""

import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from brats_ml.actions import score
from brats_ml.adapters.nifti.grid import VoxelGrid
from brats_ml.adapters.nifti.volume import read_volume, write_volume
from brats_ml.adapters.tracking.champions import CHAMPION
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.cohort.labels import REGIONS, SCHEMES, region_mask
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.cohort.releases import volume_name
from brats_ml.config import Params
from brats_ml.errors import ConfigError, EmptyCohortError, MissingInputError, ModelError, StorageError
from brats_ml.files import digest_file, digest_tree, write_json, write_sealed
from brats_ml.models.quality import NO_CALIBRATION
from brats_ml.models.quality_fit import calibrate
from brats_ml.survival.features import FEATURES
from brats_ml.survival.summary import PROBABILITIES
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import ModelFolder
from tests.actions.registered_models import TRAINED, champions_of, copy_workspace, make_champion, own_store, register

FIRST, SECOND = "BraTS20_Validation_501", "BraTS20_Validation_502"
Crown = Callable[[str, int], None]


@pytest.fixture(scope="module")
def scored(template: Workspace, quick_params: Params, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """A workspace whose two unseen cases are scored by version 1 of both models. Read only."""
    with own_store():
        ws = copy_workspace(template, tmp_path_factory.mktemp("scored") / "ws")
        make_champion(ws, "segmentation", 1)
        make_champion(ws, "survival", 1)
        score.run(ws, quick_params)
        yield ws


@pytest.fixture
def again(scored: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """A copy of the scored workspace, which the test may change."""
    with own_store():
        yield copy_workspace(scored, tmp_path / "again")


def scan(ws: Workspace, case_id: str, modality: str = "t1") -> Path:
    return ws.inbox.path / case_id / volume_name(case_id, modality)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1000])


def prediction(ws: Workspace, case_id: str, output: Path | None = None) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(ws.predictions(output).case(case_id).prediction.path.read_text())
    return read


def statuses(ws: Workspace, output: Path | None = None) -> dict[str, str]:
    records = [json.loads(folder.prediction.path.read_text()) for folder in ws.predictions(output).cases()]
    return {record["case_id"]: record["status"] for record in records}


def writes(ws: Workspace) -> dict[str, tuple[int, int]]:
    """Which file holds the prediction of each case, and when it was written."""
    found = {folder.path.name: folder.prediction.path.stat() for folder in ws.predictions().cases()}
    return {case_id: (state.st_ino, state.st_mtime_ns) for case_id, state in found.items()}


def test_a_label_map_has_the_labels_of_its_release_and_the_grid_of_its_scans(scored: Workspace) -> None:
    labels = read_volume(scored.predictions().case(FIRST).labels(FIRST))
    image = read_volume(scan(scored, FIRST))

    assert labels.grid.distance_mm(image.grid) == 0
    assert labels.array.dtype == np.uint8
    assert set(np.unique(labels.array)) <= {0, 1, 2, 4}
    assert labels.array.any()


def test_scoring_writes_a_page_with_the_scans_of_each_case(scored: Workspace) -> None:
    target = scored.predictions()
    folders = sorted(target.page_files.volumes.iterdir())
    assert [target.page_files.scripts(folder.name) for folder in folders] == [{"labels", *MODALITIES}] * 2
    assert FIRST in target.page.path.read_text()


def test_a_case_in_another_orientation_gets_the_same_labels_on_its_own_grid(
    scored: Workspace, template: Workspace, quick_params: Params, tmp_path: Path
) -> None:
    with own_store():
        ws = copy_workspace(template, tmp_path / "ws")
        make_champion(ws, "segmentation", 1)
        for modality in MODALITIES:
            path = scan(ws, FIRST, modality)
            turned = nib.as_closest_canonical(nib.load(path))
            grid = VoxelGrid(turned.shape, turned.affine)
            write_volume(path, np.asarray(turned.dataobj).astype(np.int16), grid)

        score.run(ws, quick_params, only=[FIRST])

    labels = read_volume(ws.predictions().case(FIRST).labels(FIRST))
    straight = read_volume(scored.predictions().case(FIRST).labels(FIRST))
    assert (labels.grid.axes, straight.grid.axes) == ("RAS", "LPS")
    np.testing.assert_array_equal(labels.grid.to_canonical(labels.array), straight.array)


def test_scans_without_orientation_get_a_label_map_without_one(
    template: Workspace, quick_params: Params, tmp_path: Path
) -> None:
    with own_store():
        ws = copy_workspace(template, tmp_path / "ws")
        make_champion(ws, "segmentation", 1)
        for modality in MODALITIES:
            path = scan(ws, FIRST, modality)
            header = nib.load(path).header
            header["qform_code"] = header["sform_code"] = 0
            nib.save(nib.Nifti1Image(read_volume(path).array, None, header), path)

        score.run(ws, quick_params, only=[FIRST])

    labels = nib.load(ws.predictions().case(FIRST).labels(FIRST)).header
    assert (int(labels["qform_code"]), int(labels["sform_code"])) == (0, 0)
    assert labels["pixdim"][:4].tolist() == header["pixdim"][:4].tolist()


def test_a_prediction_holds_volumes_and_a_survival_group(scored: Workspace) -> None:
    record = prediction(scored, FIRST)
    stored = read_volume(scored.predictions().case(FIRST).labels(FIRST)).array
    labels = SCHEMES["brats2017-2021"].to_canonical(stored)

    assert (record["case_id"], record["patient"], record["status"]) == (FIRST, FIRST, "scored")
    volumes = {region: region_mask(labels, region).sum() for region in REGIONS}
    assert record["volume_mm3"] == volumes | {"NCR": (labels == 1).sum(), "ED": (labels == 2).sum()}
    assert record["volume_ml"] == {name: volume / 1000 for name, volume in record["volume_mm3"].items()}
    assert any("synthetic" in flag for flag in record["flags"])
    assert record["removed"] == {}
    survival = record["survival"]
    assert survival["group"] in ("short", "mid", "long")
    assert sum(survival[name] for name in PROBABILITIES) == pytest.approx(1, abs=2e-4)
    assert survival["masks"] == "reference"
    assert set(survival["features"]) == set(FEATURES)
    assert len(survival["curve_days"]) == len(survival["curve_alive"])


def test_a_survival_prediction_has_few_digits_an_interval_and_a_caveat(scored: Workspace) -> None:
    survival = prediction(scored, FIRST)["survival"]
    shares = [*(survival[name] for name in PROBABILITIES), *survival["curve_alive"]]

    assert [share for share in shares if share != round(share, 4)] == []
    assert survival["expected_days"] == round(survival["expected_days"])
    between = dict(zip(survival["curve_days"], survival["curve_alive"], strict=True))
    assert between[survival["interval_days"]["low"]] <= 0.9
    fitted = json.loads((TRAINED / "registered/survival/data/cox/summary.json").read_text())
    low, high = (fitted["accuracy"][end] for end in ("low", "high"))
    quality = survival["model_accuracy"]
    assert (quality["low"], quality["high"]) == (round(low, 3), round(high, 3))
    assert f"(95 % interval {100 * low:.0f} to {100 * high:.0f} %)" in survival["caveat"]
    assert survival["caveat"].endswith("for research, not for diagnosis or treatment")


def test_a_prediction_of_before_stays_as_it_is_and_has_a_row(again: Workspace, quick_params: Params) -> None:
    """Records had no volumes of labels, no millilitres and no caveat, and figures of 17 digits."""
    folder, record = again.predictions().case(FIRST), prediction(again, FIRST)
    record["volume_mm3"] = {region: record["volume_mm3"][region] for region in REGIONS}
    record["survival"] |= {"expected_days": 708.1854640414846, "probability_mid": 0.15429814193475522}
    for name in ("interval_days", "model_accuracy", "caveat"):
        del record["survival"][name]
    for name in ("volume_ml", "sha256"):
        del record[name]
    write_sealed(folder.prediction, record)
    before = folder.prediction.path.read_bytes()

    report = score.run(again, quick_params)

    row = pd.read_csv(again.predictions().table).set_index("case_id").loc[FIRST]
    assert folder.prediction.path.read_bytes() == before
    assert (row["WT_mm3"], row["WT_ml"]) == (record["volume_mm3"]["WT"], record["volume_mm3"]["WT"] / 1000)
    assert (row["expected_days"], row["probability_mid"]) == (708, 0.1543)
    assert [name for name in ("NCR_mm3", "ED_ml", "survival_caveat", "days_low") if not pd.isna(row[name])] == []
    assert report.summary.startswith("0 scored, 2 kept")
    assert report.summary.endswith(f"results in {again.predictions().path}, one row a case in predictions.csv")


def test_what_postprocessing_removed_is_recorded_and_flagged(
    ws: Workspace, crown: Crown, make_params: Callable[..., Params], tmp_path: Path
) -> None:
    """The third version is the second one, with a rule that leaves no enhancing tumour."""
    folder = Path(shutil.copytree(TRAINED / "regions3d", tmp_path / "third/data/regions3d"))
    rules = json.loads((folder / "postprocessing.json").read_text())
    rules["rules"]["minimum_et"] = 10**6
    (folder / "postprocessing.json").write_text(json.dumps(rules))
    register(embedded_store(ws.state), "segmentation", 3, tmp_path / "third")
    crown("segmentation", 3)

    score.run(ws, make_params({"evaluate.runtime": "keras"}), only=[FIRST])

    record = prediction(ws, FIRST)
    relabelled = record["removed"]["ET"]
    assert record["volume_mm3"]["ET"] == 0
    assert 0 < relabelled["ml"] <= record["volume_mm3"]["TC"] / 1000
    assert relabelled["highest_probability"] > 0.6
    assert any(flag.startswith("relabelled as NCR: 1 piece(s) of ET") for flag in record["flags"])


def test_a_prediction_says_what_it_is_made_from(scored: Workspace) -> None:
    made_from = prediction(scored, FIRST)["provenance"]
    champions = champions_of(scored)
    ages = pd.read_csv(scored.inbox.path / "survival_info.csv").set_index("Brats20ID")["Age"]

    for kind, name in MODELS.items():
        champion = champions.of(name)
        assert champion is not None
        assert made_from[kind] == {"name": name, **champion.identity, "digest": champion.digest}
    assert made_from["data"] == {modality: digest_file(scan(scored, FIRST, modality)) for modality in MODALITIES}
    assert made_from["age_years"] == ages[FIRST]
    assert len(made_from["code"]["digest"]) == 64
    assert made_from["inference"] == {"preset": None, "precision": "float32"}


def test_a_version_that_only_the_alias_names_predicts_nothing(
    again: Workspace, quick_params: Params, tmp_path: Path
) -> None:
    client = MlflowClient(embedded_store(again.state))
    client.set_registered_model_alias(MODELS["segmentation"], CHAMPION, "2")

    report = score.run(again, quick_params, only=[FIRST], output=tmp_path / "output")

    assert prediction(again, FIRST, tmp_path / "output")["provenance"]["segmentation"]["version"] == 1
    assert "alias champion of brats-segmentation names v2, but the ledger" in str(report)
    again.state.ledger.path.unlink()
    client.set_registered_model_alias(MODELS["segmentation"], CHAMPION, "2")
    with pytest.raises(ModelError, match=r"names v2, but the ledger .* names none: set BRATS_STATE"):
        score.run(again, quick_params)


def test_a_champion_with_another_network_in_the_artifact_store_predicts_nothing(
    template: Workspace, quick_params: Params, tmp_path: Path
) -> None:
    with own_store():
        ws = copy_workspace(template, tmp_path / "ws")
        champions = champions_of(ws)
        folder = tmp_path / "artifacts"
        shutil.copytree(TRAINED / "registered/segmentation", folder)
        register(champions.registry.uri, "segmentation", 3, folder)
        champions.adopt(MODELS["segmentation"], 3)
        (network,) = folder.rglob("model.keras")
        content = bytearray(network.read_bytes())
        content[len(content) // 2] ^= 1
        network.write_bytes(content)

        with pytest.raises(ModelError, match=r"model\.keras in .* of brats-segmentation v3 is not what was registered"):
            score.run(ws, quick_params)

    assert not ws.predictions().path.exists()


def test_the_table_has_a_row_for_each_case_with_the_figures_of_its_prediction(scored: Workspace) -> None:
    table = pd.read_csv(scored.predictions().table).set_index("case_id")
    record = prediction(scored, SECOND)
    row = table.loc[SECOND]

    assert table.index.tolist() == [FIRST, SECOND]
    assert row["status"] == "scored"
    assert {name: row[f"{name}_mm3"] for name in ("WT", "TC", "ET", "NCR", "ED")} == record["volume_mm3"]
    assert {name: row[f"{name}_ml"] for name in ("WT", "TC", "ET", "NCR", "ED")} == record["volume_ml"]
    quality = [row[f"model_accuracy{end}"] for end in ("", "_low", "_high")]
    assert quality == [record["survival"]["model_accuracy"][name] for name in ("accuracy", "low", "high")]
    assert row["survival_caveat"] == record["survival"]["caveat"]
    assert row["days_low"] == record["survival"]["interval_days"]["low"]
    assert row["survival_group"] == record["survival"]["group"]
    assert row["expected_days"] == pytest.approx(record["survival"]["expected_days"])
    assert (row["segmentation_model"], row["survival_model"]) == ("brats-segmentation v1", "brats-survival v1")
    assert row["segmentation_run_id"] == record["provenance"]["segmentation"]["run_id"]


def test_a_second_call_writes_no_prediction_again(again: Workspace, quick_params: Params) -> None:
    score.run(again, quick_params)  # a copy of the files has marks of its own
    before, digest = writes(again), digest_tree(again.predictions().path)

    score.run(again, quick_params)

    assert writes(again) == before
    assert digest_tree(again.predictions().path) == digest


def test_a_changed_scan_is_scored_again_and_the_other_case_is_kept(again: Workspace, quick_params: Params) -> None:
    before, volume = writes(again), read_volume(scan(again, FIRST))
    changed = volume.array.copy()
    changed[16, 16, 16] += 1
    write_volume(scan(again, FIRST), changed, volume.grid)

    score.run(again, quick_params)

    assert writes(again)[FIRST] != before[FIRST]
    assert writes(again)[SECOND] == before[SECOND]
    assert prediction(again, FIRST)["provenance"]["data"]["t1"] == digest_file(scan(again, FIRST))


def test_a_new_age_scores_its_patient_again(again: Workspace, quick_params: Params) -> None:
    before, table = writes(again), again.inbox.path / "survival_info.csv"
    ages = pd.read_csv(table)
    ages.loc[ages["Brats20ID"] == SECOND, "Age"] = 81.5
    ages.to_csv(table, index=False)

    score.run(again, quick_params)

    assert writes(again)[FIRST] == before[FIRST]
    assert prediction(again, SECOND)["survival"]["features"]["age_years"] == 81.5


def test_a_new_champion_scores_every_case_again(again: Workspace, quick_params: Params) -> None:
    before = writes(again)
    make_champion(again, "segmentation", 2)

    score.run(again, quick_params)

    after = writes(again)
    assert all(after[case_id] != before[case_id] for case_id in (FIRST, SECOND))
    assert {prediction(again, case_id)["provenance"]["segmentation"]["version"] for case_id in after} == {2}


def test_another_preset_scores_a_case_again(again: Workspace, quick_params: Params) -> None:
    make_champion(again, "segmentation", 2)

    for preset in ("fast", None):
        score.run(again, quick_params, only=[FIRST], preset=preset)
        assert prediction(again, FIRST)["provenance"]["inference"]["preset"] == preset


def test_an_unknown_preset_is_refused_with_the_known_ones(ws: Workspace, quick_params: Params) -> None:
    with pytest.raises(ConfigError, match=r"slow.*fast, balanced, best"):
        score.run(ws, quick_params, preset="slow")


def test_without_a_champion_nothing_is_scored(ws: Workspace, quick_params: Params) -> None:
    with pytest.raises(ModelError, match="brats-segmentation has no champion"):
        score.run(ws, quick_params)

    assert not ws.predictions().path.exists()


def test_a_bad_case_is_refused_by_name_and_the_other_one_is_scored(
    ws: Workspace, crown: Crown, quick_params: Params
) -> None:
    crown("segmentation", 1)
    cut_short(scan(ws, FIRST))

    report = score.run(ws, quick_params)

    assert statuses(ws) == {FIRST: "refused", SECOND: "scored"}
    assert scan(ws, FIRST).name in prediction(ws, FIRST)["reason"]
    assert not ws.predictions().case(FIRST).labels(FIRST).exists()
    row = pd.read_csv(ws.predictions().table).set_index("case_id").loc[FIRST]
    assert (row["status"], row["reason"]) == ("refused", prediction(ws, FIRST)["reason"])
    assert "1 scored" in str(report)
    assert "1 refused" in str(report)


def test_a_case_without_a_modality_is_refused_with_its_name(ws: Workspace, crown: Crown, quick_params: Params) -> None:
    crown("segmentation", 1)
    scan(ws, FIRST, "t1ce").unlink()

    score.run(ws, quick_params)

    assert statuses(ws)[FIRST] == "refused"
    assert "t1ce" in prediction(ws, FIRST)["reason"]


def test_a_refused_case_is_tried_again_by_the_next_call(ws: Workspace, crown: Crown, quick_params: Params) -> None:
    crown("segmentation", 1)
    cut_short(scan(ws, FIRST))
    score.run(ws, quick_params)
    before = writes(ws)

    report = score.run(ws, quick_params)

    assert "1 refused" in str(report)
    assert writes(ws)[FIRST] != before[FIRST]
    assert writes(ws)[SECOND] == before[SECOND]


def test_a_refused_case_is_scored_once_its_scan_is_replaced(again: Workspace, quick_params: Params) -> None:
    whole = scan(again, FIRST).read_bytes()
    cut_short(scan(again, FIRST))
    score.run(again, quick_params)
    assert statuses(again)[FIRST] == "refused"
    scan(again, FIRST).write_bytes(whole)

    score.run(again, quick_params)

    assert statuses(again) == {FIRST: "scored", SECOND: "scored"}
    assert again.predictions().case(FIRST).labels(FIRST).is_file()


def test_an_inbox_of_which_every_case_is_refused_is_an_error(ws: Workspace, crown: Crown, quick_params: Params) -> None:
    crown("segmentation", 1)
    for case_id in (FIRST, SECOND):
        scan(ws, case_id).write_bytes(gzip.compress(b"no volume"))

    with pytest.raises(EmptyCohortError, match="all 2 cases"):
        score.run(ws, quick_params)

    assert statuses(ws) == {FIRST: "refused", SECOND: "refused"}


def test_a_patient_without_an_age_gets_a_label_map_and_the_reason_for_no_group(
    ws: Workspace, crown: Crown, quick_params: Params
) -> None:
    crown("segmentation", 1)
    crown("survival", 1)
    (ws.inbox.path / "survival_info.csv").unlink()

    score.run(ws, quick_params)

    survival = prediction(ws, FIRST)["survival"]
    assert survival["group"] is None
    assert "age" in survival["reason"]
    assert ws.predictions().case(FIRST).labels(FIRST).is_file()
    row = pd.read_csv(ws.predictions().table).set_index("case_id").loc[FIRST]
    assert pd.isna(row["survival_group"])
    assert row["survival_reason"] == survival["reason"]


def test_without_a_survival_champion_a_case_gets_the_reason_for_no_group(
    ws: Workspace, crown: Crown, quick_params: Params
) -> None:
    crown("segmentation", 1)

    score.run(ws, quick_params, only=[FIRST])

    record = prediction(ws, FIRST)
    assert record["provenance"]["survival"] is None
    assert record["survival"]["group"] is None
    assert "no survival model" in record["survival"]["reason"]


@pytest.mark.parametrize("drawing", [1, 2])
def test_a_survival_model_of_predicted_masks_answers_for_the_network_that_drew_them_alone(
    drawing: int, ws: Workspace, crown: Crown, quick_params: Params
) -> None:
    crown("segmentation", drawing)
    crown("survival", 2)

    score.run(ws, quick_params, only=[FIRST])

    record = prediction(ws, FIRST)
    assert (record["survival"]["group"] is not None) == (drawing == 1)
    assert (record["provenance"]["survival"] is not None) == (drawing == 1)
    assert drawing == 1 or "brats-survival v2" in record["survival"]["reason"]


def test_only_the_named_cases_are_scored_and_those_that_are_gone_are_counted(
    ws: Workspace, crown: Crown, quick_params: Params
) -> None:
    crown("segmentation", 1)

    report = score.run(ws, quick_params, only=[SECOND, "BraTS20_Validation_999"])

    assert statuses(ws) == {SECOND: "scored"}
    assert "1 gone" in str(report)


def test_a_refusal_of_every_named_case_is_no_error(ws: Workspace, crown: Crown, quick_params: Params) -> None:
    crown("segmentation", 1)
    cut_short(scan(ws, FIRST))

    score.run(ws, quick_params, only=[FIRST])

    assert statuses(ws) == {FIRST: "refused"}


def test_names_of_which_no_case_is_there_are_an_error(ws: Workspace, quick_params: Params) -> None:
    with pytest.raises(EmptyCohortError, match="BraTS20_Validation_999"):
        score.run(ws, quick_params, only=["BraTS20_Validation_999"])


def test_cases_and_predictions_may_be_in_any_folder(
    ws: Workspace, crown: Crown, quick_params: Params, tmp_path: Path
) -> None:
    crown("segmentation", 1)
    cases, output = tmp_path / "cases", tmp_path / "output"
    ws.inbox.path.rename(cases)

    score.run(ws, quick_params, cases=cases, output=output)

    assert statuses(ws, output) == {FIRST: "scored", SECOND: "scored"}
    assert not ws.predictions().path.exists()


def test_a_folder_without_cases_and_a_missing_one_are_errors(
    ws: Workspace, quick_params: Params, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(EmptyCohortError, match="empty"):
        score.run(ws, quick_params, cases=tmp_path / "empty")
    with pytest.raises(MissingInputError, match="missing"):
        score.run(ws, quick_params, cases=tmp_path / "missing")


@pytest.mark.parametrize("output", [".", "..", "predictions", "../inbox", "../link"])
def test_an_output_that_overlaps_the_cases_is_refused_and_no_scan_is_lost(
    output: str, ws: Workspace, crown: Crown, quick_params: Params
) -> None:
    crown("segmentation", 1)
    (ws.root / "link").symlink_to(ws.inbox.path)
    before = digest_tree(ws.inbox.path)

    with pytest.raises(ConfigError, match="overlaps the folder of cases"):
        score.run(ws, quick_params, output=ws.inbox.path / output)

    assert digest_tree(ws.inbox.path) == before


def test_a_folder_that_is_no_prediction_is_never_replaced_and_the_other_case_is_scored(
    ws: Workspace, crown: Crown, quick_params: Params
) -> None:
    crown("segmentation", 1)
    foreign = ws.predictions().case(FIRST).path / "notes.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("from the ward")

    with pytest.raises(StorageError, match=f"{FIRST} exists and is no prediction"):
        score.run(ws, quick_params)

    assert foreign.read_text() == "from the ward"
    assert prediction(ws, SECOND)["status"] == "scored"


def test_a_new_prediction_keeps_the_one_before_it(again: Workspace, quick_params: Params) -> None:
    before = digest_tree(again.predictions().case(FIRST).path)
    make_champion(again, "segmentation", 2)

    score.run(again, quick_params)

    (earlier,) = (again.predictions().path / ".earlier" / FIRST).iterdir()
    assert earlier.name.startswith("brats-segmentation-v1-")
    assert digest_tree(earlier) == before
    assert prediction(again, FIRST)["provenance"]["segmentation"]["version"] == 2


def test_a_refusal_keeps_the_prediction_before_it(again: Workspace, quick_params: Params) -> None:
    before = digest_tree(again.predictions().case(FIRST).path)
    cut_short(scan(again, FIRST))

    score.run(again, quick_params)

    (earlier,) = (again.predictions().path / ".earlier" / FIRST).iterdir()
    assert prediction(again, FIRST)["status"] == "refused"
    assert digest_tree(earlier) == before


def test_a_calibrated_model_states_the_quality_of_a_case_and_lists_the_worst_first(
    ws: Workspace, quick_params: Params
) -> None:
    """Version 3 is version 2 with a calibration, by which every case is to be looked at."""
    crowned = Path(shutil.copytree(TRAINED / "regions3d", ws.root / "registered/calibrated/data/regions3d"))
    profiles = [{f"t1_p{at}": 0.1 * number for at in (5, 50)} for number in range(3)]
    settings = quick_params.qc.model_copy(update={"review_below": 1.0, "largest": {}})
    made = calibrate([], part="validation", profiles=profiles, settings=settings)
    made["widths_mm"] = dict.fromkeys(REGIONS, 2.0)
    write_json(ModelFolder(crowned).quality, made)
    register(embedded_store(ws.state), "segmentation", 3, ws.root / "registered/calibrated")
    make_champion(ws, "segmentation", 3)

    report = score.run(ws, quick_params)

    records = {case_id: prediction(ws, case_id) for case_id in (FIRST, SECOND)}
    for record in records.values():
        quality = record["qc"]
        assert 0 < quality["score"] < 1
        assert quality["review"]
        assert quality["reasons"][0].startswith(f"expected mean Dice {quality['score']:.2f}, less than 1")
        assert 0 <= quality["disagreement"] < 1
        for region, interval in quality["volume_intervals_mm3"].items():
            assert interval["low"] <= record["volume_mm3"][region] <= interval["high"]
            assert interval["coverage"] == 0.9
    reviewed = pd.read_csv(ws.predictions().review)
    assert reviewed["case_id"].tolist() == sorted(records, key=lambda case_id: records[case_id]["qc"]["score"])
    assert str(report).endswith("2 case(s) need a review, listed worst first in review.csv")
    row = pd.read_csv(ws.predictions().table).set_index("case_id").loc[FIRST]
    assert row["qc_score"] == records[FIRST]["qc"]["score"]
    assert row["WT_high_ml"] == pytest.approx(
        records[FIRST]["qc"]["volume_intervals_mm3"]["WT"]["high"] / 1000, abs=1e-3
    )


def test_an_older_model_scores_the_same_labels_without_a_quality(scored: Workspace) -> None:
    quality = prediction(scored, FIRST)["qc"]

    assert quality["score"] is None
    assert quality["reasons"][0] == NO_CALIBRATION
    assert quality["volume_intervals_mm3"] is None
    assert pd.isna(pd.read_csv(scored.predictions().table).set_index("case_id").loc[FIRST, "qc_score"])
