import os
import re
import subprocess
from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from brats_ml import config
from brats_ml.adapters.tables.frames import write_csv
from brats_ml.cohort.clinical import GROUPS
from brats_ml.cohort.labels import LABELS, REGIONS
from brats_ml.cohort.modalities import MODALITIES
from brats_ml.errors import MissingInputError
from brats_ml.files import read_json, read_sealed, write_json
from brats_ml.imaging.metrics.baseline import BASELINE_SCORES
from brats_ml.imaging.metrics.case import CASE_DICE
from brats_ml.reports.confusion import confusion_figure
from brats_ml.reports.panels import six_panels, write_figure
from brats_ml.stages import compare, compare_header, compare_previous, compare_survival, survival
from brats_ml.survival.features import FEATURES
from brats_ml.survival.summary import GROUP_SCORES, PROBABILITIES
from brats_ml.workspace import Workspace

PARAMS = Path(__file__).parents[2] / "params.yaml"
COLUMNS = [*CASE_DICE, *BASELINE_SCORES]
DISTANCES = [f"hd95_{region}" for region in REGIONS]
VOLUMES = [f"{name}_{region}" for name in ("volume_mm3", "reference_volume_mm3") for region in REGIONS]


def document_with(*, recipes: list[str], estimators: list[str]) -> Any:
    document = YAML(typ="safe").load(PARAMS)
    document["train"]["recipes"] = recipes
    document["features"]["predicted_by"] = recipes[0]
    document["survival"]["estimators"] = estimators
    return document


def params(*, recipes: list[str], estimators: list[str]) -> config.Params:
    return config.parse(document_with(recipes=recipes, estimators=estimators))


def add_recipe(ws: Workspace, name: str, *, dice: list[float]) -> None:
    names = [f"c{index}" for index in range(len(dice))]
    cases = pd.DataFrame({"case_id": names, "patient": names})
    cases[COLUMNS] = np.repeat(np.array(dice)[:, None], len(COLUMNS), axis=1)
    cases[DISTANCES], cases[VOLUMES] = 2.0, 3000.0
    folder = ws.evaluation("validation", name)
    write_csv(folder.cases, cases)
    means = cases[COLUMNS].mean().to_dict()
    write_json(folder.summary, {"verdict": "evaluated", "cases": len(dice), "mean": means})
    labels = np.zeros((12, 12, 3), dtype=np.uint8)
    labels[4:8, 4:8, 1] = 1
    write_figure(folder.figure("c0"), six_panels(labels + 1, labels, labels, title="c0"))
    for rank in ("worst", "worst-2", "best"):
        path = folder.planes(rank, f"{name}-c_0")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(f"{rank} of {name}".encode())
    history = pd.DataFrame({"epoch": [1, 2], "learning_rate": 1e-3, "loss": [1.0, 0.5], "val_loss": [1.1, 0.6]})
    write_csv(ws.history(name), history)
    write_json(ws.model(name).verdict, {"verdict": "trained", "key": f"key-of-{name}"})


def add_untrained_recipe(ws: Workspace, name: str) -> None:
    summary = {"verdict": "not evaluated: no model was trained", "cases": 0, "mean": {}}
    write_json(ws.evaluation("validation", name).summary, summary)
    write_csv(ws.history(name), pd.DataFrame(columns=["epoch", "loss"]))
    write_json(ws.model(name).verdict, {"verdict": "not trained: no case"})


def add_estimator(ws: Workspace, name: str, *, accuracy: float, log_loss: float = 1.0, better: bool = False) -> None:
    summary = {
        "verdict": "fitted",
        "patients": 40,
        "groups": {"short": 15, "mid": 10, "long": 15},
        "best": {"weight<s>": "uniform", "p": 2},
        "protocol": "nested",
        "masks": "reference",
        "calibration_error": {"mean": 0.05, "low": 0.02, "high": 0.09, "method": "percentile bootstrap"},
        "age_only_calibration_error": 0.04,
        "against_age_only": {
            "folds": {"mean": 0.01, "low": -0.05, "high": 0.07, "method": "corrected t", "p": 0.71},
            "patients": {"mean": 0.01, "low": -0.04, "high": 0.06, "method": "percentile bootstrap"},
            "beaten": False,
        },
        "log_loss_against_age_only": {
            "folds": {"mean": 0.01, "low": -0.05, "high": 0.07, "method": "corrected t", "p": 0.71},
            "patients": {"mean": 0.01, "low": -0.04, "high": 0.06, "method": "percentile bootstrap"},
            "beaten": better,
        },
        **{f"{row}_{score}": 0.4 for row in ("majority", "age_only") for score in GROUP_SCORES},
        **{
            score: {"mean": accuracy, "low": accuracy - 0.1, "high": accuracy + 0.1, "method": "corrected t"}
            for score in GROUP_SCORES
        },
        "log_loss": {"mean": log_loss, "low": log_loss - 0.1, "high": log_loss + 0.1, "method": "corrected t"},
        "test": {"patients": 7, "accuracy": 0.987654, "majority_accuracy": 0.4},
    }
    write_json(ws.survival(name).summary, summary)
    figure = confusion_figure(np.diag([15, 10, 15]), ["short", "mid", "long"], title=name)
    write_figure(ws.survival(name).picture("confusion"), figure)
    patients = [f"p{number}" for number in range(6)]
    held_out = pd.DataFrame({"patient": patients, "group": list(GROUPS) * 2, "predicted": "short", "event": 1})
    held_out[["survival_days", "repeat"]] = [[100.0 * number, 0] for number in range(6)]
    held_out[list(PROBABILITIES)] = 1 / 3
    write_csv(ws.survival(name).out_of_fold, held_out)


def add_features(ws: Workspace) -> None:
    reference = pd.DataFrame(
        {"patient": ["a", "b", "c"], "case_id": ["a", "b", "c"], "age_years": 50.0, "ncr_ratio": [0.1, 0.2, 0.3]}
    ).assign(survival_days=300.0, event=1)
    write_csv(ws.features("reference"), reference)
    predicted = reference.iloc[1:].assign(ncr_ratio=[0.1, 0.35])
    write_csv(ws.features("predicted"), predicted)
    write_json(ws.splits, {"patients": {"a": "train", "b": "validation", "c": "validation"}})
    write_json(ws.listing, {"source": "/data/<BraTS>", "phantom": None, "features": None})
    cases = [{"case_id": name, "patient": name, "scheme": "brats2023"} for name in ("a", "b", "c")]
    write_json(ws.validation.manifest, {"cases": cases})
    volume = {"spacing_x": 1.0, "spacing_y": 1.0, "spacing_z": 2.0, "shape_x": 8, "shape_y": 8, "shape_z": 4}
    image = {"brain_ml": 1400.0, "p50": 200.0, "p99": 900.0}
    labels = {f"voxels_{label}": 500 for label in LABELS}
    rows = [
        {"case_id": name, "modality": modality, **volume, **(labels if modality == "seg" else image)}
        for name in ("a", "b", "c")
        for modality in (*MODALITIES, "seg")
    ]
    write_csv(ws.validation.headers, pd.DataFrame(rows))


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    ws = Workspace(tmp_path)
    add_features(ws)
    return ws


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    ws = Workspace(tmp_path_factory.mktemp("compared"))
    add_features(ws)
    add_recipe(ws, "baseline", dice=[0.5, 0.6])
    add_recipe(ws, "baseline_mini", dice=[0.6, 0.9])
    add_estimator(ws, "svm", accuracy=0.5, log_loss=1.0)
    add_estimator(ws, "knn", accuracy=0.45, log_loss=1.1)
    compare.run(ws, params(recipes=["baseline", "baseline_mini"], estimators=["knn", "svm"]))
    return ws


def nominees(ws: Workspace) -> Any:
    return read_json(ws.reports.nominees)


def test_the_best_recipe_and_the_best_estimator_are_nominated_with_the_reason(compared: Workspace) -> None:
    assert nominees(compared) == {
        "segmentation": {
            "recipe": "baseline_mini",
            "reason": "highest mean Dice of WT, TC and ET, 0.750 on 2 validation cases",
        },
        "survival": {
            "estimator": "svm",
            "reason": "lowest log loss, 1.000 on 40 patients, not shown to be better than age alone",
        },
    }


@pytest.mark.parametrize(
    ("better", "nominated", "reason"),
    [
        ((), "age", "log loss 1.050, and no estimator is shown to be better than age alone"),
        (("knn",), "knn", "lowest log loss, 1.100 on 40 patients, better than age alone"),
        (("knn", "svm"), "svm", "lowest log loss, 1.000 on 40 patients, better than age alone"),
    ],
)
def test_age_alone_is_nominated_unless_another_is_shown_to_be_better(
    better: tuple[str, ...], nominated: str, reason: str, ws: Workspace
) -> None:
    for name, loss in (("svm", 1.0), ("knn", 1.1), ("age", 1.05)):
        add_estimator(ws, name, accuracy=0.5, log_loss=loss, better=name in better)

    entries = [compare_survival.leaderboard_entry(ws, name) for name in ("svm", "knn", "age")]

    assert compare_survival.nominee(compare.ranked(entries)) == (nominated, reason)


def test_the_leaderboard_lists_both_kinds_best_first(compared: Workspace) -> None:
    table = pd.read_csv(compared.reports.leaderboard)

    assert table["name"].tolist() == ["baseline_mini", "baseline", "svm", "knn"]
    assert table["score"].tolist() == [0.75, 0.55, 0.5, 0.45]
    assert ((table["low"] <= table["score"]) & (table["score"] <= table["high"])).all()
    assert table["interval"].tolist() == ["t", "t", "corrected t", "corrected t"]


def test_the_leaderboard_has_no_interval_of_one_patient(ws: Workspace) -> None:
    add_recipe(ws, "baseline", dice=[0.5, 0.6])
    cases = pd.read_csv(ws.evaluation("validation", "baseline").cases.path)
    write_csv(ws.evaluation("validation", "baseline").cases, cases.assign(patient="p"))
    add_estimator(ws, "knn", accuracy=0.45)

    compare.run(ws, params(recipes=["baseline"], estimators=["knn"]))

    row = pd.read_csv(ws.reports.leaderboard).set_index("name").loc["baseline"]
    assert (row["score"], np.isnan(row["low"])) == (0.55, True)


def test_where_nothing_was_trained_or_fitted_the_reasons_are_handed_on(ws: Workspace) -> None:
    add_untrained_recipe(ws, "baseline_mini")
    write_json(ws.survival("svm").summary, {"verdict": "not fitted: 1 labelled patient"})
    write_json(ws.survival("knn").summary, {"verdict": "not fitted: 1 labelled patient"})

    compare.run(ws, params(recipes=["baseline_mini"], estimators=["svm", "knn"]))

    assert nominees(ws) == {
        "segmentation": {"recipe": None, "reason": "not evaluated: no model was trained"},
        "survival": {"estimator": None, "reason": "not fitted: 1 labelled patient"},
    }
    page = ws.reports.page.path.read_text()
    assert "not fitted: 1 labelled patient" in page


def test_a_recipe_that_was_not_trained_stands_below_one_that_was(ws: Workspace) -> None:
    add_untrained_recipe(ws, "baseline")
    add_recipe(ws, "baseline_mini", dice=[0.0])
    add_estimator(ws, "svm", accuracy=0.5)

    compare.run(ws, params(recipes=["baseline", "baseline_mini"], estimators=["svm"]))

    assert nominees(ws)["segmentation"]["recipe"] == "baseline_mini"


def test_the_page_shows_the_nominees_best_and_worst_case_and_no_other_recipes(compared: Workspace) -> None:
    page = compared.reports.page.path.read_text()

    captions = re.findall("<figcaption>(.*) validation case of (.*): (.*)</figcaption>", page)
    assert captions == [(rank, "baseline_mini", "baseline_mini-c_0") for rank in ("best", "worst", "second worst")]
    assert b64encode(b"best of baseline_mini").decode() in page


def test_the_page_needs_no_other_file(compared: Workspace) -> None:
    page = compared.reports.page.path.read_text()

    addresses = set(re.findall(r"""(?:src|href)=["']([^:"']*)""", page))
    # A reader may follow the link to the validation page; the page shows all of its own without it.
    validation = os.path.relpath(compared.validation.page, compared.reports)
    assert {address for address in addresses if not address.startswith("#")} == {"data", validation}
    assert {address[1:] for address in addresses if address.startswith("#")} <= set(re.findall(r' id="([^"]*)"', page))
    assert not re.search(r"https?://|@import|url\(", page)


def test_the_header_names_cohort_releases_split_and_training_runs(compared: Workspace) -> None:
    page = " ".join(compared.reports.page.path.read_text().split())

    assert "<dt>Cohort</dt><dd>/data/&lt;BraTS&gt;" in page
    assert "brats2023 (3)" in page
    assert "1 training, 2 validation, 0 locked test" in page
    assert "key-of-baseline_mini" in page
    assert "The patients are synthetic" not in page


def test_date_and_commit_are_those_of_the_checkout(ws: Workspace) -> None:
    add_recipe(ws, "baseline", dice=[0.5, 0.6])
    add_estimator(ws, "svm", accuracy=0.5)
    when = {"GIT_AUTHOR_DATE": "2025-03-04T05:06:07+00:00", "GIT_COMMITTER_DATE": "2025-03-04T05:06:07+00:00"}
    for command in (["init", "-q"], ["add", "data"], ["commit", "-q", "-m", "data"]):
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        subprocess.run(["git", *identity, *command], cwd=ws.root, check=True, env={**os.environ, **when})
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ws.root, check=True, capture_output=True, text=True)

    of_commit = compare_header.header(ws, params(recipes=["baseline"], estimators=["svm"]))
    write_json(ws.listing, {"source": "phantom", "phantom": {"cases": 3}, "features": None})
    changed = compare_header.header(ws, params(recipes=["baseline"], estimators=["svm"]))

    assert (of_commit.date, of_commit.commit) == ("2025-03-04", head.stdout.strip())
    assert [header.dirty for header in (of_commit, changed)] == [False, True]
    assert [header.synthetic for header in (of_commit, changed)] == [False, True]


def test_the_report_compares_with_the_previous_run_and_stays_the_same_when_repeated(ws: Workspace) -> None:
    """By hand: the cases gain 0.1 and 0.3, so 0.2 in the mean."""
    add_estimator(ws, "svm", accuracy=0.5)
    found = []
    for dice in ([0.5, 0.6], [0.6, 0.9], [0.5, 0.6]):
        add_recipe(ws, "baseline", dice=dice)
        compare.run(ws, params(recipes=["baseline"], estimators=["svm"]))
        found.append(ws.reports.page.path.read_text())

    assert "There is no previous run" in found[0]
    assert "differs by +0.200 from that of baseline" in " ".join(found[1].split())
    assert "<td>0.550</td><td>0.750</td>" in found[1]
    assert found[2] == found[0]


def test_the_record_of_previous_runs_does_not_grow_without_end(ws: Workspace) -> None:
    for number in range(compare_previous.MOST_KEPT + 2):
        before = compare_previous.remember(ws, {"key": str(number)})

    assert before == {"key": str(compare_previous.MOST_KEPT)}
    assert len(read_sealed(ws.state.comparisons)["comparisons"]) == compare_previous.MOST_KEPT


@pytest.mark.parametrize("content", ["{", "[]", '{"comparisons": [], "sha256": "0"}', None])
def test_a_damaged_record_of_previous_runs_is_set_aside_and_costs_no_report(
    content: str | None, ws: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    ws.state.comparisons.path.parent.mkdir(parents=True)
    if content is None:
        ws.state.comparisons.path.mkdir()
    else:
        ws.state.comparisons.path.write_text(content)

    assert compare_previous.remember(ws, {"key": "a"}) is None

    assert "was damaged and is now damaged-comparisons.json" in caplog.text
    assert ws.state.comparisons.path.with_name("damaged-comparisons.json").exists()
    assert compare_previous.remember(ws, {"key": "b"}) == {"key": "a"}


def test_every_picture_says_in_words_what_it_shows(compared: Workspace) -> None:
    alternatives = re.findall('<img alt="([^"]*)"', compared.reports.page.path.read_text())

    shown = "\n".join(alternatives)
    assert "Dice of each recipe. baseline_mini: mean of regions 0.750" in shown
    assert "Learning curves of baseline_mini over 2 rows of its history: loss from 1 to 0.5" in shown
    assert "Confusion matrix of svm: of 2 predictions of short survivors 2 are short, 0 are mid, 0 are long" in shown
    assert "age, years: training 50.0 (50.0 to 50.0), validation 50.0 (50.0 to 50.0)" in shown
    assert all(len(text) > 30 for text in alternatives if "baseline_mini-c_0" not in text)


def test_the_cohort_is_described_by_part_without_locked_patients(compared: Workspace) -> None:
    page = compared.reports.page.path.read_text()

    # 1500 voxels of 2 mm3 are 3 mL.
    assert '<th scope="row">WT, mL</th><td>3.00 (3.00 to 3.00)</td><td>3.00 (3.00 to 3.00)</td>' in page
    assert '<th scope="row">spacing, mm</th><td>1 × 1 × 2</td><td>1 × 1 × 2</td>' in page  # noqa: RUF001


def test_text_of_a_result_cannot_become_markup(compared: Workspace) -> None:
    page = compared.reports.page.path.read_text()

    assert "svm, chosen: p 2, weight&lt;s&gt; uniform" in page
    assert "weight<s>" not in page


def test_results_on_the_locked_test_set_stay_off_the_page(compared: Workspace) -> None:
    assert "0.98" not in re.sub(r'src="[^"]*"', "", compared.reports.page.path.read_text())


def test_equal_results_give_an_equal_report(compared: Workspace) -> None:
    before = {path.name: path.read_bytes() for path in compared.reports.path.iterdir()}

    compare.run(compared, params(recipes=["baseline", "baseline_mini"], estimators=["knn", "svm"]))

    assert {path.name: path.read_bytes() for path in compared.reports.path.iterdir()} == before
    assert set(before) == {"index.html", "leaderboard.csv", "nominees.json"}


def test_features_are_compared_over_the_cases_that_have_both(ws: Workspace) -> None:
    """By hand: 0.2 against 0.1 and 0.3 against 0.35."""
    reference, predicted = (pd.read_csv(ws.features(masks)) for masks in ("reference", "predicted"))

    (difference,), cases = compare.feature_differences(reference, predicted)

    assert cases == 2
    assert difference.name == "ncr_ratio"
    assert difference.reference == pytest.approx(0.25)
    assert difference.predicted == pytest.approx(0.225)
    assert difference.absolute == pytest.approx(0.075)


def test_label_maps_of_locked_patients_are_not_measured(ws: Workspace) -> None:
    add_untrained_recipe(ws, "baseline_mini")
    write_json(ws.survival("svm").summary, {"verdict": "not fitted"})
    write_json(ws.splits, {"patients": {"a": "train", "b": "validation", "c": "test"}})

    compare.run(ws, params(recipes=["baseline_mini"], estimators=["svm"]))

    assert "the 1 case with both" in ws.reports.page.path.read_text()


def test_a_missing_evaluation_is_named_with_its_command(ws: Workspace) -> None:
    with pytest.raises(MissingInputError, match="brats evaluate --recipe baseline_mini"):
        compare.run(ws, params(recipes=["baseline_mini"], estimators=["svm"]))


def labelled_cohort(count: int = 50) -> pd.DataFrame:
    """Return features of patients who live the shorter the older they are."""
    random = np.random.default_rng(0)
    age = random.uniform(30, 85, count)
    names = [f"P{index:03d}" for index in range(count)]
    table = pd.DataFrame({"patient": names, "case_id": names, "masks": "reference", "age_years": age})
    table[list(FEATURES[1:])] = random.uniform(0, 0.05, (count, 3))
    return table.assign(resection="GTR", survival_days=np.round(900 - 9 * age), event=1)


def with_survival(ws: Workspace, predicted: pd.DataFrame) -> config.Params:
    """Fit an estimator on a cohort of which every fifth patient is locked; return the parameters."""
    table = labelled_cohort()
    write_csv(ws.features("reference"), table)
    write_csv(ws.features("predicted"), predicted)
    parts = {name: "test" if index % 5 == 0 else "train" for index, name in enumerate(table["patient"])}
    write_json(ws.splits, {"patients": parts})
    write_json(ws.listing, {"source": "phantom", "phantom": {"cases": 50}, "features": None})
    document = document_with(recipes=["baseline_mini"], estimators=["svm"])
    document["survival"] |= {"folds": 3, "repeats": 1, "grids": {"svm": {"C": [1], "kernel": ["linear"]}}}
    quick = config.parse(document)
    survival.run(ws, quick, estimator="svm")
    return quick


def test_predicted_masks_that_are_the_reference_cost_nothing(ws: Workspace) -> None:
    table = labelled_cohort()
    quick = with_survival(ws, table.assign(masks="baseline_mini"))

    loss = compare_survival.mask_loss(ws, quick, "svm", table, table.iloc[:21])

    assert loss is not None
    assert loss.patients == 16  # of the first 21 five are locked
    assert loss.reference == loss.predicted > 0.4
    assert loss.synthetic


def test_the_loss_is_told_where_everyone_has_predicted_masks(ws: Workspace) -> None:
    """As after a training in folds."""
    table = labelled_cohort()
    quick = with_survival(ws, table.assign(masks="baseline_mini"))

    loss = compare_survival.mask_loss(ws, quick, "svm", table, table)

    assert loss is not None
    assert loss.patients == 40
    assert loss.reference == loss.predicted > 0.4


def test_predicted_masks_that_tell_nothing_cost_accuracy(ws: Workspace) -> None:
    table = labelled_cohort()
    quick = with_survival(ws, table)
    wrong = table.assign(age_years=table["age_years"].max() + table["age_years"].min() - table["age_years"])

    loss = compare_survival.mask_loss(ws, quick, "svm", table, wrong.iloc[:21])

    assert loss is not None
    assert loss.predicted < loss.reference
    assert loss.lost.low <= loss.reference - loss.predicted <= loss.lost.high
    assert loss.lost.mean == pytest.approx(loss.reference - loss.predicted)


def test_nobody_with_both_kinds_of_masks_tells_no_loss(ws: Workspace) -> None:
    table = labelled_cohort()
    quick = with_survival(ws, table.iloc[:0])

    assert compare_survival.mask_loss(ws, quick, "svm", table, table.iloc[:0]) is None
    assert compare_survival.mask_loss(ws, quick, "svm", table, table.iloc[[0]]) is None  # who is locked
    assert compare_survival.mask_loss(ws, quick, None, table, table) is None


def test_models_of_the_baselines_protocol_are_shown_and_never_nominated(ws: Workspace) -> None:
    table = labelled_cohort(100)
    with_survival(ws, table.iloc[:0])
    write_csv(ws.features("reference"), table)
    add_untrained_recipe(ws, "baseline_mini")
    document = document_with(recipes=["baseline_mini"], estimators=["knn"])
    document["survival"]["protocol"] = "baseline"
    of_baseline = config.parse(document)
    survival.run(ws, of_baseline, estimator="knn")

    compare.run(ws, of_baseline)

    assert nominees(ws)["survival"]["estimator"] is None
    assert "for comparison only" in nominees(ws)["survival"]["reason"]
    assert pd.read_csv(ws.reports.leaderboard)["measure"].tolist()[-1] == "accuracy, the baseline's protocol"
