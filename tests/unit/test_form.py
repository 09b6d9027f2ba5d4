"""What a form may set."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from brats_ml.errors import ConfigError
from brats_ml.orchestration.dag import form
from brats_ml.orchestration.dag.form_values import ScoreForm, check, train_form
from brats_ml.orchestration.dag.scoring import options_of
from brats_ml.orchestration.runs.locations import Locations
from brats_ml.orchestration.runs.run import Run
from brats_ml.workspace.state import State

RECIPES = ["baseline", "baseline_mini", "regions3d", "regions2d"]
UNTOUCHED = {
    "revision": "HEAD", "source": None, "recipes": ["baseline_mini"], "epochs": None, "folds": None,
    "approval": False, "set": None,
}  # fmt: skip
SCORED = {"revision": "HEAD", "cases": "inbox", "output": "predictions", "preset": None, "probabilities": False}
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"set": ["orchestration.approval_hours=1"]}, "in the checkout of its DAGs"),
        ({"set": ["orchestration={watch: null}"]}, "in the checkout of its DAGs"),
        ({"set": ["survival.folds=3"], "folds": 4}, "the form sets survival.folds twice"),
        ({"set": ["train.seed=1", "train.seed=2"]}, "the form sets train.seed twice"),
        ({"set": ["train.recipes=[regions2d]"], "recipes": ["baseline"]}, "the form sets train.recipes twice"),
        (
            {"set": ["features.predicted_by=baseline"], "recipes": ["regions2d"]},
            "features.predicted_by is baseline, which train.recipes does not name",
        ),
    ],
)
def test_a_value_that_would_be_ignored_is_refused(tmp_path: Path, values: dict[str, Any], sentence: str) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)

    with pytest.raises(ConfigError, match=sentence):
        form.apply(values, clone=tmp_path, checkout=None, drawn={})
    assert (tmp_path / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"recipes": ["region2d"]}, "field recipes.0: must be baseline, .* found 'region2d'; did you mean regions2d?"),
        ({"recipes": "regions2d"}, "field recipes: must be a list, found 'regions2d'"),
        ({"recipes": ["regions2d", "regions2d"]}, "field recipes: names regions2d twice"),
        ({"epochs": 0}, "field epochs: must be at least 1, found 0"),
        ({"folds": 1}, "field folds: must be at least 2, found 1"),
        ({"approval": "yes"}, "field approval: must be true or false, found 'yes'"),
        ({"set": [1]}, "field set.0: must be text, found 1"),
        ({"revision": "--upload-pack=x"}, "field revision: must not begin with a hyphen"),
        ({"epoch": 3}, "field epoch: unknown key; did you mean epochs?"),
    ],
)
def test_a_wrong_value_is_refused_with_its_field_and_what_it_must_be(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"^form of brats_train, {sentence}"):
        check(UNTOUCHED | values, train_form(RECIPES), name="brats_train")


def test_a_form_that_nobody_changed_is_accepted() -> None:
    check(UNTOUCHED, train_form(RECIPES), name="brats_train")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"preset": "quick"}, "field preset: must be fast, balanced or best, found 'quick'"),
        ({"probabilities": None}, "field probabilities: must be true or false"),
        ({"cases": "s3://"}, "field cases: the form is `s3://bucket/prefix`"),
    ],
)
def test_a_wrong_value_of_scoring_is_refused_with_the_right_ones(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        check(SCORED | values, ScoreForm, name="brats_score")
    check(SCORED | {"cases": "s3://ward/new"}, ScoreForm, name="brats_score")


def test_the_form_of_scoring_becomes_options_and_an_address_stays_as_it_is(tmp_path: Path) -> None:
    locations = Locations(str(tmp_path), State(tmp_path / "state"))
    run = Run(locations, "brats_score", "run")

    assert options_of(run, "inbox", "predictions", "") is None
    options = options_of(run, "s3://ward/new", "out", "best", "yes")

    assert options == [
        "--cases",
        "s3://ward/new",
        "--output",
        str(tmp_path / "out"),
        "--preset",
        "best",
        "--probabilities",
    ]


def test_a_wrong_parameter_is_found_in_a_rehearsal_that_changes_nothing(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)

    with pytest.raises(ConfigError, match=r"params.yaml has no key gate.fresh_case; did you mean gate.fresh_cases?"):
        form.rehearse(UNTOUCHED | {"set": ["gate.fresh_case=1"]}, tmp_path)
    form.rehearse(UNTOUCHED | {"set": ["gate.fresh_cases=1"]}, tmp_path)
    assert (tmp_path / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()
