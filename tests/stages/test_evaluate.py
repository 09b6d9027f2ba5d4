import numpy as np
import pandas as pd
import pytest

from brats_ml import files
from brats_ml.adapters.model_files.keras_file import write_model
from brats_ml.config import Params
from brats_ml.imaging.metrics.baseline import BASELINE_SCORES
from brats_ml.imaging.metrics.case import CASE_METRICS, case_metrics
from brats_ml.imaging.metrics.rulers import ruler_columns
from brats_ml.segmentation.networks.region_unet import region_unet
from brats_ml.stages import evaluate, preprocess, validate
from brats_ml.stages.evaluate import FIGURES, NAMES, summary_of
from brats_ml.workspace import Workspace

COLUMNS = (*NAMES, *CASE_METRICS, *BASELINE_SCORES)


def table_of(*pairs: tuple[np.ndarray, np.ndarray]) -> pd.DataFrame:
    rows = [
        {"case_id": f"c{number}", "patient": f"p{number}"}
        | case_metrics(*pair, spacing_mm=(1, 1, 1))
        | dict.fromkeys(BASELINE_SCORES, 0.5)
        for number, pair in enumerate(pairs)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_every_metric_has_every_figure_and_a_missed_structure_stays_in_the_mean() -> None:
    """By hand: ET is right in the first case, missed in the second, invented in the third, absent in the fourth."""
    nothing, enhancing = np.zeros((4, 4, 4), dtype=np.uint8), np.full((4, 4, 4), 3, dtype=np.uint8)
    table = table_of((enhancing, enhancing), (enhancing, nothing), (nothing, enhancing), (nothing, nothing))

    found = summary_of(table, trained=True)

    assert (found["verdict"], found["cases"]) == ("evaluated", 4)
    assert set(found) == {"verdict", "cases", "interval", *FIGURES}
    assert found["interval"] == "t"
    for figure in FIGURES:
        assert list(found[figure]) == [*CASE_METRICS, *BASELINE_SCORES]
    assert (found["mean"]["dice_ET"], found["median"]["dice_ET"]) == (0.5, 0.5)
    assert 0 <= found["low"]["dice_ET"] < 0.5 < found["high"]["dice_ET"] <= 1
    assert found["mean"]["hd95_ET"] == pytest.approx(373.12866 / 2)
    assert (found["empty_reference"]["dice_ET"], found["mean_without_empty"]["dice_ET"]) == (2, 0.5)
    assert found["mean_without_empty"]["dice_label_NCR"] is None


def test_the_time_points_of_a_patient_count_as_one_in_an_interval() -> None:
    nothing, enhancing = np.zeros((4, 4, 4), dtype=np.uint8), np.full((4, 4, 4), 3, dtype=np.uint8)
    table = table_of(*6 * [(enhancing, enhancing)], *6 * [(enhancing, nothing)])
    patients = table.assign(patient=[*"aabbccddeeff"])

    found, apart = (summary_of(cases, trained=True) for cases in (patients, table))

    assert (found["cases"], found["mean"]["dice_ET"]) == (apart["cases"], apart["mean"]["dice_ET"]) == (12, 0.5)
    # By hand, with Student's t of 5 degrees of freedom: 0.5 -+ 2.57 * 0.224, cut to the scale; and of 11: 2.2 * 0.151.
    assert (found["low"]["dice_ET"], found["high"]["dice_ET"]) == (0, 1)
    assert apart["low"]["dice_ET"] == pytest.approx(0.168, abs=0.001)
    one_patient = summary_of(table.assign(patient="a"), trained=True)
    assert (one_patient["low"]["dice_ET"], one_patient["interval"]) == (None, None)


def test_without_cases_the_summary_says_why() -> None:
    empty = pd.DataFrame(columns=list(COLUMNS))

    assert "no model was trained" in summary_of(empty, trained=False)["verdict"]
    assert "no labelled case" in summary_of(empty, trained=True)["verdict"]
    assert summary_of(empty, trained=True)["mean"] == {}


def test_a_recipe_by_regions_has_no_scores_of_the_baseline_and_states_its_preset(
    workspace: Workspace, params: Params
) -> None:
    validate.run(workspace, params)
    preprocess.run(workspace, params)
    held_out, learnt = ([name] for name in sorted(files.read_json(workspace.preprocessed.index))[:2])
    folder = workspace.model("regions3d")
    channels = params.recipe("regions3d").channels
    network = region_unet(dimensions=3, channels=channels, regions=3, filters=(4, 8), stem=2, seed=0)
    write_model(folder.networks(1)[0], network)
    recipe = params.recipe("regions3d").model_dump() | {"patch": [16, 16, 16], "batch": 1, "filters": [4, 8]}
    files.write_json(folder.recipe, recipe)
    cases = {"train": learnt, "validation": held_out, "test": []}

    files.write_json(folder.verdict, {"verdict": "trained", "key": "k", "cases": cases})
    evaluate.run(workspace, params, recipe="regions3d")
    # The network knows its training cases, so they choose no rules.
    part = workspace.evaluation("validation", "regions3d")
    assert files.read_json(part.summary)["postprocessing"] is None
    quality = files.read_json(part.quality)
    assert (quality["part"], quality["cases"], quality["cohort"]) == ("validation", 1, None)
    assert quality["settings"] == params.qc.model_dump()
    assert not part.modalities.path.exists()
    rows = pd.read_csv(part.rulers)
    assert list(rows) == ["case_id", "patient", *ruler_columns(["WT", "TC", "ET", "NETC", "SNFH"])]
    means = files.read_json(part.summary)["rulers"]["mean"]
    assert (means["dice_WT"], means["hd95_2024_ET"]) == (rows["dice_WT"].mean(), rows["hd95_2024_ET"].mean())
    assert rows["dice_TC"].tolist() == pd.read_csv(part.cases)["dice_TC"].tolist()

    recipe["augmentation"]["drop_modalities"] = 0.3
    files.write_json(folder.recipe, recipe)
    files.write_json(folder.verdict, {"verdict": "trained", "key": "k", "cases": cases, "folds": {learnt[0]: 0}})
    without = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"rulers": None})})
    report = evaluate.run(workspace, without, recipe="regions3d")

    assert not part.rulers.path.exists()
    summary = files.read_json(part.summary)
    assert list(pd.read_csv(part.cases)) == ["case_id", "patient", *CASE_METRICS]
    assert list(summary["mean"]) == sorted(CASE_METRICS)
    assert (summary["preset"], summary["cases"]) == ("balanced", 1)
    assert summary["windows"] == [[16, 16, 16], [24, 24, 24]]
    assert summary["postprocessing"]["cases"] == learnt
    (dropped,) = summary["removed"].values()
    assert dropped["WT"]["pieces"] >= 1
    assert dropped["WT"]["ml"] < 1
    assert 0.5 < dropped["WT"]["highest_probability"] < 1
    assert "preset balanced by" in str(report)
    assert list(part.masks()) == held_out
    # With folds, the training cases calibrate, each by the network that has not seen it.
    quality = files.read_json(part.quality)
    assert (quality["part"], quality["cases"], list(quality["covered_by_release"])) == (
        "out_of_fold",
        1,
        ["all", "brats2017-2021"],
    )
    subsets = files.read_json(part.modalities)
    assert subsets["cases"] == held_out
    assert len(subsets["dice"]) == 15
    for region, score in subsets["dice"]["flair+t1+t1ce+t2"].items():
        assert score == pytest.approx(summary["mean"][f"dice_{region}"], abs=1e-5)
    # What a person may see of the locked test patients stays as it is.
    assert not workspace.evaluation("test", "regions3d").modalities.path.exists()
