import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brats_ml.adapters.model_files.skops_file import load_estimator
from brats_ml.adapters.tables.frames import read_csv, write_csv
from brats_ml.config import Params
from brats_ml.errors import ConfigError, MissingInputError, TableError
from brats_ml.files import digest_tree, read_json, write_json
from brats_ml.stages import features, split, survival
from brats_ml.survival.features import FEATURES
from brats_ml.workspace import Workspace

GRIDS = {
    "random_forest": {"n_estimators": [3, 5]},
    "svm": {"C": [1, 10], "kernel": ["linear", "rbf"]},
    "knn": {"n_neighbors": [3, 7]},
    "cox": {"penalty": [0.001, 0.1]},
    "age": {},
}
QUICK = {"survival.grids": GRIDS, "survival.folds": 3, "survival.repeats": 2}
MakeParams = Callable[[dict[str, Any]], Params]


@pytest.fixture(scope="module")
def quick(make_params: MakeParams) -> Params:
    return make_params(QUICK)


def cohort(count: int = 60, *, seed: int = 0) -> pd.DataFrame:
    """Return features of patients who live the shorter the older they are, every sixth of them partly resected."""
    random = np.random.default_rng(seed)
    age = random.uniform(30, 85, count)
    patients = [f"P{index:03d}" for index in range(count)]
    return pd.DataFrame(
        {
            "patient": patients,
            "case_id": patients,
            "masks": "reference",
            "age_years": age,
            "ncr_ratio": random.uniform(0, 0.02, count),
            "ed_ratio": random.uniform(0, 0.1, count),
            "et_ratio": random.uniform(0, 0.03, count),
            "resection": ["STR" if index % 6 == 0 else "GTR" for index in range(count)],
            "survival_days": np.round(900 - 9 * age + random.normal(0, 60, count)),
            "event": 1.0,
        }
    )


def lay(ws: Workspace, table: pd.DataFrame) -> None:
    """Write the two inputs of the stage; every fifth patient is locked away, every fifth validates."""
    write_csv(ws.features("reference"), table)
    parts = ("train", "train", "train", "validation", "test")
    write_json(ws.splits, {"patients": {name: parts[i % 5] for i, name in enumerate(sorted(set(table["patient"])))}})


def summary_of(ws: Workspace, name: str) -> dict[str, Any]:
    return read_json(ws.survival(name).summary)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = Workspace(tmp_path)
    lay(ws, cohort())
    return ws


@pytest.mark.parametrize("name", GRIDS)
def test_an_estimator_is_fitted_judged_and_written_whole(ws: Workspace, quick: Params, name: str) -> None:
    survival.run(ws, quick, estimator=name)

    folder = ws.survival(name)
    written = {path.name for path in folder.path.iterdir()}
    assert written == {
        "calibration.png", "confusion.png", "distributions.png", "estimator.skops", "folds.csv", "importance.png",
        "kaplan_meier.png", "out_of_fold.csv", "summary.json", "test.csv"
    }  # fmt: skip
    summary = summary_of(ws, name)
    assert summary["verdict"] == "fitted"
    assert summary["patients"] == sum(summary["groups"].values()) == 48
    assert summary["best"].keys() <= GRIDS[name].keys()
    assert summary["majority_accuracy"] < summary["accuracy"]["mean"]
    assert len(read_csv(folder.folds)) == 3 * 2


def test_the_locked_patients_are_scored_once_and_never_learnt_from(ws: Workspace, quick: Params) -> None:
    survival.run(ws, quick, estimator="knn")

    parts = read_json(ws.splits)["patients"]
    locked = sorted(name for name, part in parts.items() if part == "test")
    summary = summary_of(ws, "knn")
    tested = read_csv(ws.survival("knn").test)
    assert tested["patient"].tolist() == locked
    assert not set(locked) & set(summary["training_patients"])
    assert not set(locked) & set(read_csv(ws.survival("knn").out_of_fold)["patient"])
    assert summary["test"]["patients"] == len(locked)
    assert summary["test"]["accuracy"] == (tested["group"] == tested["predicted"]).mean()


def test_what_is_learnt_does_not_depend_on_the_locked_patients(ws: Workspace, quick: Params) -> None:
    survival.run(ws, quick, estimator="svm")
    before = ws.survival("svm").estimator.path.read_bytes()
    table = read_csv(ws.features("reference"))
    parts = table["patient"].map(read_json(ws.splits)["patients"])
    table.loc[parts == "test", ["age_years", "survival_days"]] = [1.0, 1]
    write_csv(ws.features("reference"), table)

    survival.run(ws, quick, estimator="svm")

    assert ws.survival("svm").estimator.path.read_bytes() == before


def test_the_stored_estimator_gives_the_predictions_of_the_table(ws: Workspace, quick: Params) -> None:
    survival.run(ws, quick, estimator="random_forest")

    tested = read_csv(ws.survival("random_forest").test)
    estimator = load_estimator(ws.survival("random_forest").estimator)
    rows = read_csv(ws.features("reference")).set_index("patient").loc[tested["patient"]]
    assert estimator.predict(rows[list(FEATURES)].to_numpy()).tolist() == tested["predicted"].tolist()
    probabilities = tested[["probability_short", "probability_mid", "probability_long"]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_age_alone_is_an_estimator_like_the_others_and_equals_the_row_to_beat(ws: Workspace, quick: Params) -> None:
    survival.run(ws, quick, estimator="age")
    survival.run(ws, quick, estimator="knn")

    summary, tested, others = (
        summary_of(ws, "age"),
        read_csv(ws.survival("age").test),
        read_csv(ws.survival("knn").test),
    )
    assert summary["features"] == ["age_years"]
    assert (summary["log_loss"]["mean"], summary["accuracy"]["mean"]) == (
        summary["age_only_log_loss"],
        summary["age_only_accuracy"],
    )
    assert summary["log_loss_against_age_only"]["folds"]["mean"] == 0
    assert not summary["log_loss_against_age_only"]["beaten"]
    assert tested["patient"].tolist() == others["patient"].tolist()
    for group in ("short", "mid", "long"):
        np.testing.assert_array_equal(tested[f"probability_{group}"], tested[f"age_only_probability_{group}"])
        np.testing.assert_array_equal(tested[f"probability_{group}"], others[f"age_only_probability_{group}"])


@pytest.mark.parametrize("name", GRIDS)
def test_equal_input_gives_equal_bytes(ws: Workspace, quick: Params, name: str) -> None:
    survival.run(ws, quick, estimator=name)
    first = digest_tree(ws.survival(name).path)

    survival.run(ws, quick, estimator=name)

    assert digest_tree(ws.survival(name).path) == first


@pytest.mark.parametrize(("count", "reason"), [(0, "0 labelled patients"), (1, "1 labelled patient")])
def test_too_few_patients_are_an_ordinary_verdict(tmp_path: Path, quick: Params, count: int, reason: str) -> None:
    ws = Workspace(tmp_path)
    table = cohort(8)
    table.loc[count:, ["survival_days", "event"]] = np.nan
    lay(ws, table)

    report = survival.run(ws, quick, estimator="svm")

    verdict = f"not fitted: {reason}, but survival.minimum_patients asks for 30"
    assert str(report) == f"survival: svm {verdict}"
    summary = summary_of(ws, "svm")
    assert summary["verdict"] == verdict
    assert summary["unlabelled"] == 8 - count
    assert {path.name for path in ws.survival("svm").path.iterdir()} == {"folds.csv", "summary.json", "test.csv"}
    assert read_csv(ws.survival("svm").folds).empty


def test_a_group_smaller_than_the_folds_is_named(tmp_path: Path, quick: Params) -> None:
    ws = Workspace(tmp_path)
    table = cohort()
    table["survival_days"] = np.where(table.index % 2, 100, 900)
    table.loc[:1, "survival_days"] = 400  # both of them learnt from
    lay(ws, table)

    survival.run(ws, quick, estimator="knn")

    verdict = "not fitted: group mid has 2 patients, and 3 nested folds need 4: move survival.limits_days"
    assert summary_of(ws, "knn")["verdict"] == verdict


def test_limits_that_leave_a_group_empty_are_refused_and_write_nothing(tmp_path: Path, make_params: MakeParams) -> None:
    ws = Workspace(tmp_path)
    lay(ws, cohort())

    with pytest.raises(
        ConfigError, match=r"survival.limits_days 1 and 2 leave group short without any of \d+ patients"
    ):
        survival.run(ws, make_params(QUICK | {"survival.limits_days": [1, 2]}), estimator="knn")

    assert not ws.survival("knn").path.exists()


def test_an_estimator_fitted_before_goes_when_it_no_longer_can_be(ws: Workspace, quick: Params) -> None:
    survival.run(ws, quick, estimator="knn")
    lay(ws, cohort(5))

    survival.run(ws, quick, estimator="knn")

    assert not ws.survival("knn").estimator.path.exists()


def test_everyone_who_is_left_out_is_counted(tmp_path: Path, quick: Params) -> None:
    ws = Workspace(tmp_path)
    table = cohort()
    table.loc[0, "event"] = 0
    table.loc[[1, 2], ["survival_days", "event"]] = np.nan
    table.loc[3, "age_years"] = np.nan
    lay(ws, pd.concat([table, table.iloc[[10]].assign(case_id="P010-b")]))

    survival.run(ws, quick, estimator="knn")

    summary = summary_of(ws, "knn")
    counted = {key: summary[key] for key in ("censored", "unlabelled", "incomplete", "not_gtr", "follow_up")}
    assert counted == {"censored": 1, "unlabelled": 2, "incomplete": 1, "not_gtr": 0, "follow_up": 1}
    assert sum(counted.values()) + summary["patients"] + summary["test"]["patients"] == 61


def test_who_was_alive_is_learnt_from_by_a_model_of_time_and_tested_by_none(ws: Workspace, quick: Params) -> None:
    table = cohort()
    table.loc[::4, "event"] = 0
    lay(ws, table)

    survival.run(ws, quick, estimator="cox")

    alive = set(table.loc[table["event"] == 0, "patient"])
    held_out = read_csv(ws.survival("cox").out_of_fold)
    assert alive & set(held_out["patient"]) == set(held_out.loc[held_out["event"] == 0, "patient"]) != set()
    assert not alive & set(read_csv(ws.survival("cox").test)["patient"])
    days = summary_of(ws, "cox")["days"]
    assert days["concordance"]["mean"] > 0.7
    assert days["spearman"]["mean"] > 0.7


def test_the_baselines_protocol_is_reproduced_and_named_as_such(tmp_path: Path, make_params: MakeParams) -> None:
    ws = Workspace(tmp_path)
    lay(ws, cohort(120))
    params = make_params(QUICK | {"survival.protocol": "baseline"})

    report = survival.run(ws, params, estimator="knn")

    summary = summary_of(ws, "knn")
    assert str(report) == "survival: knn reproduced: the baseline's protocol, for comparison only"
    assert summary["protocol"] == "baseline"
    assert summary["limits_days"] == [250, 450]
    assert summary["patients"] == 100
    assert summary["test"]["patients"] == 20
    assert summary["test"]["low"] < summary["test"]["mean"] < summary["test"]["high"]
    assert summary["other_orders"]["least"] < summary["other_orders"]["greatest"]
    assert {path.name for path in ws.survival("knn").path.iterdir()} == {"confusion.png", "summary.json", "test.csv"}


def test_the_baselines_protocol_says_where_patients_are_too_few(ws: Workspace, make_params: MakeParams) -> None:
    table = cohort()
    table["survival_days"] = np.where(table.index % 2, 100, 900)
    lay(ws, table)

    report = survival.run(ws, make_params(QUICK | {"survival.protocol": "baseline"}), estimator="knn")

    assert str(report).startswith("survival: knn not reproduced: ")
    assert " 0 mid, " in str(report)


def test_a_model_may_learn_from_predicted_label_maps_and_says_so(ws: Workspace, make_params: MakeParams) -> None:
    write_csv(ws.features("predicted"), cohort(60, seed=1).assign(masks="baseline_mini"))
    ws.features("reference").path.unlink()

    survival.run(ws, make_params(QUICK | {"survival.masks": "predicted"}), estimator="svm")

    summary = summary_of(ws, "svm")
    assert summary["verdict"] == "fitted"
    assert (summary["masks"], summary["segmentation"]) == ("predicted", "baseline_mini")


def test_features_that_are_not_in_the_table_are_named(ws: Workspace, make_params: MakeParams) -> None:
    with pytest.raises(TableError, match=r"has no column wt_compactness, which survival.features asks for"):
        survival.run(ws, make_params(QUICK | {"survival.features": ["shape"]}), estimator="svm")


def test_the_gtr_cohort_holds_gross_total_resections_only(ws: Workspace, make_params: MakeParams) -> None:
    survival.run(ws, make_params(QUICK | {"survival.cohort": "gtr"}), estimator="knn")

    summary = summary_of(ws, "knn")
    assert summary["not_gtr"] == 10
    assert summary["patients"] + summary["test"]["patients"] == 50


def test_a_cohort_without_locked_patients_has_no_test_accuracy(ws: Workspace, quick: Params) -> None:
    write_json(ws.splits, {"patients": dict.fromkeys(cohort()["patient"], "train")})

    survival.run(ws, quick, estimator="knn")

    assert summary_of(ws, "knn")["test"] == {"patients": 0, "accuracy": None, "majority_accuracy": None}
    assert read_csv(ws.survival("knn").test).empty


def test_an_estimator_that_nobody_knows_is_refused_with_the_known_ones(ws: Workspace, quick: Params) -> None:
    with pytest.raises(ConfigError, match=r"estimator boosting is not one of .*random_forest, svm, knn"):
        survival.run(ws, quick, estimator="boosting")


def test_a_patient_without_a_part_in_the_split_is_named(ws: Workspace, quick: Params) -> None:
    write_json(ws.splits, {"patients": {}})

    with pytest.raises(TableError, match="has no part for patient P000"):
        survival.run(ws, quick, estimator="knn")


def test_missing_features_name_the_command_that_makes_them(tmp_path: Path, quick: Params) -> None:
    with pytest.raises(MissingInputError, match="brats features --masks reference"):
        survival.run(Workspace(tmp_path), quick, estimator="knn")


def test_real_patients_are_told_apart_no_better_than_was_ever_published(
    tmp_path: Path, make_params: MakeParams, real_data: Path
) -> None:
    # 21 published methods reach at most 0.617 on the challenge's test set; more than 0.65 here would be a leak.
    ws = Workspace(tmp_path)
    ws.tables.path.mkdir(parents=True)
    shutil.copy(real_data / "tables/brats2020_survival_features_derived.csv", ws.tables.path / "survival_features.csv")
    write_json(ws.validation.manifest, {"cases": []})
    params = make_params({"survival.grids": {**GRIDS, "knn": {"n_neighbors": [15, 38]}}, "survival.repeats": 1})
    split.run(ws, params)
    features.run(ws, params, masks="reference")

    survival.run(ws, params, estimator="knn")

    summary = summary_of(ws, "knn")
    assert summary["patients"] + summary["test"]["patients"] == 235
    assert summary["censored"] == 1
    assert 0.38 < summary["accuracy"]["mean"] < 0.55
    assert summary["majority_accuracy"] == pytest.approx(89 / 235, abs=0.03)
