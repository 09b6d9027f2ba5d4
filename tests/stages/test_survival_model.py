"""What a registered survival model answers, and with whom it may serve."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from brats_ml.actions import publish_survival
from brats_ml.actions.gate_locked import LockedPatients
from brats_ml.actions.gate_survival import compare, judge, likelihood, on_predicted_masks, paired, uninformed
from brats_ml.adapters.tables.frames import write_csv
from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.registry import Registry
from brats_ml.adapters.tracking.reigns import MODELS
from brats_ml.adapters.tracking.runs import KEY, MlflowTracker
from brats_ml.adapters.tracking.version import Version
from brats_ml.config import Params
from brats_ml.errors import ModelError
from brats_ml.files import read_json, write_json
from brats_ml.models import pyfunc
from brats_ml.models.compatibility import MASKS, RECIPE, RECIPE_KEY, incompatibility
from brats_ml.models.survival import SurvivalModel
from brats_ml.promotion import Decision
from brats_ml.stages import survival
from brats_ml.survival.features import FEATURES
from brats_ml.workspace import Workspace
from brats_ml.workspace.outputs import SurvivalFolder
from brats_ml.workspace.state import State

QUICK = {
    "survival.grids": {"svm": {"C": [1], "kernel": ["linear"]}, "cox": {"penalty": [0.01]}},
    "survival.estimators": ["svm", "cox"],
    "survival.folds": 3,
    "survival.repeats": 1,
}
PROBABILITIES = ["probability_short", "probability_mid", "probability_long"]
ASKED = pd.DataFrame(
    [
        {"age_years": 40.0, "ncr_ratio": 0.01, "ed_ratio": 0.02, "et_ratio": 0.01},
        {"age_years": np.nan, "ncr_ratio": 0.01, "ed_ratio": 0.02, "et_ratio": 0.01},
        {"age_years": 82.0, "ncr_ratio": 0.01, "ed_ratio": 0.02, "et_ratio": 0.01},
        {"age_years": 200.0, "ncr_ratio": 0.01, "ed_ratio": np.inf, "et_ratio": 0.01},
        {"age_years": 0.0, "ncr_ratio": 0.01, "ed_ratio": 1.5, "et_ratio": 0.01},
    ]
)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, make_params: Callable[[dict[str, Any]], Params]) -> Workspace:
    """A workspace with a classifier and a model of time, of patients who live the shorter the older they are."""
    ws = Workspace(tmp_path_factory.mktemp("fitted"))
    random = np.random.default_rng(0)
    age = random.uniform(30, 85, 50)
    names = [f"P{index:03d}" for index in range(50)]
    table = pd.DataFrame({"patient": names, "case_id": names, "masks": "reference", "age_years": age})
    table[list(FEATURES[1:])] = random.uniform(0, 0.05, (50, 3))
    table = table.assign(resection="GTR", survival_days=np.round(900 - 9 * age), event=1)
    write_csv(ws.features("reference"), table)
    write_csv(ws.features("predicted"), table.iloc[:10])
    write_json(ws.splits, {"patients": {name: "test" if i % 5 == 0 else "train" for i, name in enumerate(names)}})
    for name in ("svm", "cox"):
        survival.run(ws, make_params(QUICK), estimator=name)
    return ws


@pytest.mark.parametrize("name", ["svm", "cox"])
def test_who_cannot_be_answered_gets_the_reason_and_the_others_an_answer(fitted: Workspace, name: str) -> None:
    predicted = SurvivalModel(fitted.survival(name))(ASKED)

    assert predicted["reason"].tolist()[:4] == [None, "no age_years", None, "no ed_ratio"]
    assert predicted["reason"][4] == "age_years 0 is impossible; ed_ratio 1.5 is impossible"
    assert predicted["group"].tolist() == ["long", None, "short", None, None]
    np.testing.assert_allclose(predicted.loc[[0, 2], PROBABILITIES].sum(axis=1), 1)
    assert predicted.loc[[1, 3, 4], PROBABILITIES].isna().all(axis=None)
    assert predicted.loc[[0, 2], PROBABILITIES].to_numpy().argmax(axis=1).tolist() == [2, 0]


def test_nobody_is_answered_where_everyone_lacks_something(fitted: Workspace) -> None:
    predicted = SurvivalModel(fitted.survival("cox"))(ASKED.iloc[[1]])

    assert predicted["group"].tolist() == [None]
    assert predicted["reason"].tolist() == ["no age_years"]


def test_a_model_of_time_gives_an_expected_curve_and_a_classifier_none(fitted: Workspace) -> None:
    predicted = SurvivalModel(fitted.survival("cox"))(ASKED)

    younger, older = (np.array(predicted["curve_alive"][row]) for row in (0, 2))
    assert predicted["curve_days"][0][:3] == [0, 30, 60]
    assert younger[0] == older[0] == 1
    assert (np.diff(younger) <= 0).all()
    assert (younger >= older).all()
    assert predicted["expected_days"][0] > predicted["expected_days"][2]
    assert predicted["curve_alive"][1] is None
    assert "curve_alive" not in SurvivalModel(fitted.survival("svm"))(ASKED)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a store, which no later test is led to."""
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, "")  # so that what MLflow sets is put back
    yield embedded_store(State(tmp_path))
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


@pytest.mark.parametrize("name", ["svm", "cox"])
def test_the_registered_model_loads_by_mlflow_and_answers_with_its_signature(
    fitted: Workspace, store: str, name: str
) -> None:
    with MlflowTracker(store).run("key", name="survival", tags={}) as run:
        run_id = run.run_id
    offered = publish_survival.served(fitted, name, recipe="baseline_mini", recipe_key="k1")

    made = Registry(store).register(
        MODELS["survival"],
        key="key",
        run_id=run_id,
        folder=fitted.survival(name).path,
        loader=pyfunc.__name__,
        **offered,
    )

    assert (made.tags[MASKS], made.tags[RECIPE], made.tags[RECIPE_KEY]) == ("reference", "baseline_mini", "k1")
    mlflow.set_tracking_uri(store)
    model = mlflow.pyfunc.load_model(f"models:/{made.name}/{made.number}")
    predicted = model.predict(ASKED)
    assert list(predicted.columns) == model.metadata.get_output_schema().input_names()
    assert model.metadata.get_input_schema().input_names() == list(FEATURES)
    assert predicted["group"].tolist() == ["long", None, "short", None, None]
    (estimator,) = Path(Registry(store).fetch(made)).glob("*.skops")
    estimator.write_bytes(estimator.read_bytes() + b" ")
    with pytest.raises(ModelError, match=r"estimator\.skops in .* is not what was registered"):
        mlflow.pyfunc.load_model(f"models:/{made.name}/{made.number}")


def version(name: str, **tags: str) -> Version:
    return Version(MODELS[name], 1, "run", tags)


def test_a_model_of_reference_masks_goes_with_any_segmentation_model() -> None:
    survival_model = version("survival", **{MASKS: "reference"})

    assert incompatibility(survival_model, version("segmentation", **{KEY: "other"})) is None
    assert incompatibility(version("survival"), None) is None


def test_a_model_of_predicted_masks_goes_with_who_predicted_them_alone() -> None:
    learnt = version("survival", **{MASKS: "predicted", RECIPE: "baseline_mini", RECIPE_KEY: "k1"})

    assert incompatibility(learnt, version("segmentation", **{KEY: "k1"})) is None
    other = incompatibility(learnt, version("segmentation", **{KEY: "k2"}))
    assert other == (
        "brats-survival v1 was trained on label maps by baseline_mini, but brats-segmentation v1 is another model"
    )
    assert "there is no segmentation champion" in str(incompatibility(learnt, None))


def test_a_pair_that_does_not_fit_is_held_whatever_its_accuracy() -> None:
    learnt = version("survival", **{MASKS: "predicted", RECIPE: "baseline_mini", RECIPE_KEY: "k1"})
    good = Decision("PROMOTE", ["better"], {"cases": 9})

    held = paired(good, learnt, version("segmentation", **{KEY: "k2"}))

    assert (held.verdict, held.measured) == ("HOLD", {"cases": 9})
    assert "is another model" in held.reasons[0]
    assert paired(good, learnt, version("segmentation", **{KEY: "k1"})) == good
    rejected = Decision("REJECT", ["worse"])
    assert paired(rejected, learnt, None) == rejected
    assert paired(good, None, None) == good


def test_the_gate_also_tells_the_accuracy_on_predicted_masks(fitted: Workspace) -> None:
    table = pd.read_csv(fitted.survival("svm").test)

    found = on_predicted_masks(fitted, fitted.survival("svm"), table)

    assert found is not None
    assert found["patients"] == 2  # of the locked P000 to P045 those among the first ten
    assert found["accuracy"] in (0.0, 0.5, 1.0)
    assert on_predicted_masks(fitted, fitted.survival("svm"), table.iloc[5:]) is None


def test_a_champion_with_other_groups_is_not_compared_with(
    fitted: Workspace, make_params: Callable[[dict[str, Any]], Params], tmp_path: Path
) -> None:
    champion = SurvivalFolder(tmp_path / "champion")
    shutil.copytree(fitted.survival("svm"), champion)
    write_json(champion.summary, read_json(champion.summary) | {"limits_days": [400, 700]})

    params, candidate = make_params(QUICK), version("survival")
    locked = LockedPatients(fitted, candidate, params.gate.fresh_cases)

    decision = judge(fitted, params, "svm", champion, floors=params.gate.synthetic.survival, locked=locked)

    assert decision.verdict == "HOLD"
    assert decision.reasons == [
        "its groups end at 300 and 450 days and the champion's at 400 and 700, so the two cannot be compared"
    ]


def locked_patients(count: int, *, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the groups of patients with the probabilities by age alone, and the true probabilities of the groups."""
    random = np.random.default_rng(seed)
    age, marker = random.normal(size=(2, count))
    scores = np.column_stack([1.0 * age + 2 * marker, np.zeros(count), -1.0 * age - 2 * marker])
    truth = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    groups = np.array(["short", "mid", "long"])[[random.choice(3, p=row) for row in truth]]
    by_age = np.exp(np.column_stack([0.6 * age, np.zeros(count), -0.6 * age]))
    table = pd.DataFrame({"group": groups})
    table[[f"age_only_{name}" for name in PROBABILITIES]] = by_age / by_age.sum(axis=1, keepdims=True)
    return table, truth


def survival_verdict(table: pd.DataFrame, probabilities: np.ndarray, params: Params) -> str:
    table = table.assign(**dict(zip(PROBABILITIES, probabilities.T, strict=True)))
    references = uninformed(table, {"short": 30, "mid": 22, "long": 28})
    own = likelihood(table, table, PROBABILITIES)
    return compare(own, references, params, floors=params.gate.patients.survival, looks=0).verdict


@pytest.mark.parametrize("kind", ["uniform", "random", "certain"])
def test_a_random_guesser_never_replaces_age_alone(kind: str, params: Params) -> None:
    random = np.random.default_rng(0)
    passed = 0
    for seed in range(100):
        table, _ = locked_patients(params.gate.patients.survival.minimum_cases, seed=seed)
        guesses = {
            "uniform": np.full((len(table), 3), 1 / 3),
            "random": random.dirichlet(np.ones(3), len(table)),
            "certain": np.eye(3)[random.integers(0, 3, len(table))],
        }[kind]
        passed += survival_verdict(table, guesses, params) == "PROMOTE"

    assert passed <= 1  # by accuracy, 40 of 100 passed


def test_a_model_that_knows_more_than_the_age_is_promoted(params: Params) -> None:
    promoted = 0
    for seed in range(20):
        table, truth = locked_patients(60, seed=seed)
        promoted += survival_verdict(table, truth, params) == "PROMOTE"

    assert promoted >= 18


def test_age_alone_is_promoted_where_nothing_is_champion(fitted: Workspace, make_params: Any) -> None:
    params = make_params(QUICK | {"survival.estimators": ["age"], "survival.grids": {"age": {}}})
    survival.run(fitted, params, estimator="age")
    floors = params.gate.synthetic.survival

    decision = judge(fitted, params, "age", None, floors=floors, locked=locked(fitted, params))

    assert decision.verdict == "PROMOTE"
    assert -1.1 < decision.measured["candidate"]["log_likelihood"] < 0
    # The champion itself is no better than itself.
    again = judge(fitted, params, "age", fitted.survival("age"), floors=floors, locked=locked(fitted, params))
    assert again.verdict == "HOLD"


def test_a_champion_that_cannot_predict_a_patient_counts_as_a_guess(fitted: Workspace, make_params: Any) -> None:
    params = make_params(QUICK | {"survival.estimators": ["age"], "survival.grids": {"age": {}}})
    survival.run(fitted, params, estimator="age")
    before = fitted.features("reference").path.read_text()
    table = pd.read_csv(fitted.features("reference"))
    write_csv(fitted.features("reference"), table.assign(et_ratio=np.nan))
    floors = params.gate.synthetic.survival

    decision = judge(fitted, params, "age", fitted.survival("svm"), floors=floors, locked=locked(fitted, params))

    fitted.features("reference").path.write_text(before)
    assert decision.measured["champion"]["log_likelihood"] == pytest.approx(np.log(1 / 3))


def test_predictions_without_those_by_age_alone_hold_with_what_to_run(
    fitted: Workspace, params: Params, tmp_path: Path
) -> None:
    ws = Workspace(tmp_path)
    shutil.copytree(fitted.survival("svm"), ws.survival("svm"))
    table = pd.read_csv(ws.survival("svm").test)
    write_csv(ws.survival("svm").test, table.drop(columns=[name for name in table if name.startswith("age_only")]))

    decision = judge(ws, params, "svm", None, floors=params.gate.synthetic.survival, locked=locked(ws, params))

    assert decision.verdict == "HOLD"
    assert decision.reasons == [
        "test.csv of svm has no column age_only_probability_short: run `brats survival --estimator svm` again"
    ]


def locked(ws: Workspace, params: Params) -> LockedPatients:
    if not ws.validation.manifest.path.exists():
        write_json(ws.validation.manifest, {"cases": []})
        ws.tables.path.mkdir(parents=True)
    return LockedPatients(ws, version("survival"), params.gate.fresh_cases)


class LoggedRun:
    """Takes the place of an MLflow run and remembers what is logged."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.metrics: dict[str, float] = {}

    def log_params(self, values: Mapping[str, Any]) -> None:
        """Forget the parameters."""

    def log_metrics(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Keep the metrics."""
        self.metrics |= rows[0]

    def log_file(self, path: Path) -> None:
        """Keep the name of a file that is there."""
        self.files.append(path.name if path.is_file() else "")


def test_a_reproduction_of_the_baseline_is_logged_with_its_own_test_patients(
    tmp_path: Path, make_params: Callable[[dict[str, Any]], Params]
) -> None:
    ws, random = Workspace(tmp_path), np.random.default_rng(0)
    names = [f"P{index:03d}" for index in range(100)]
    table = pd.DataFrame({"patient": names, "case_id": names, "masks": "reference", "age_years": 60.0})
    table[list(FEATURES[1:])] = random.uniform(0, 0.05, (100, 3))
    days = random.uniform(50, 900, 100)
    write_csv(ws.features("reference"), table.assign(resection="GTR", survival_days=days, event=1))
    quick = make_params({"survival.protocol": "baseline"})
    survival.run(ws, quick, estimator="knn")
    summary, run = read_json(ws.survival("knn").summary), LoggedRun()

    publish_survival.log_estimator(ws, quick, "knn", summary, run)

    assert run.files == ["test.csv", "confusion.png"]
    assert run.metrics["baseline_test.right"] == summary["test"]["right"]
