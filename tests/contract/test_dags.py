"""The DAG files agree with dvc.yaml, have descriptions, and are cheap to parse."""

import itertools
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from brats_ml.config import load
from brats_ml.config.edit import override
from tests.contract import dag_reader
from tests.contract.dag_reader import ROOT
from tests.contract.heavy_libraries import HEAVY

# A DAG file needs Airflow, and asks DVC for its graph where none is kept.
UNWANTED = HEAVY - {"airflow", "dvc"} | {"nibabel", "numpy", "pandas"}
AROUND_THE_STAGES = {"open", "publish", "gate", "approve", "push", "promote", "close"}
DAGS = {
    "train": "brats_train.py",
    "cohort": "brats_cohort.py",
    "score": "brats_score.py",
    "rollback": "brats_rollback.py",
    "study": "brats_study.py",
    "janitor": "brats_janitor.py",
    "reproduce": "brats_reproduce.py",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


@pytest.fixture(scope="module")
def dags(home: Path) -> Any:
    return {name: dag_reader.run(dag_reader.PARSE, ROOT / "dags" / file, home=home) for name, file in DAGS.items()}


@pytest.fixture(scope="module")
def train(dags: Any) -> Any:
    return dags["train"]


@pytest.fixture(scope="module")
def recipes() -> list[str]:
    return list(load(ROOT / "params.yaml").recipes)


@pytest.fixture(scope="module")
def stages(home: Path, recipes: list[str]) -> Any:
    """DVC's own stages where `train.recipes` names every recipe, each of which may predict the label maps."""
    root = home / "repository"
    root.mkdir()
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=root, check=True)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, root)
    override(root / "params.yaml", [f"train.recipes=[{', '.join(recipes)}]"])
    stages = dag_reader.run(dag_reader.INDEX, root, home=home)
    needed = {f"evaluate@{recipe}" for recipe in recipes}
    stages["features@predicted"]["upstream"] = sorted({*stages["features@predicted"]["upstream"], *needed})
    return stages


@pytest.fixture(params=list(DAGS))
def dag(request: pytest.FixtureRequest, dags: Any) -> Any:
    return dags[request.param]


def _address(task_id: str) -> str:
    return task_id.replace(".", "@")


def test_tasks_of_brats_train_are_the_stages_of_all_declared_recipes_and_the_actions_around_them(
    train: Any, stages: Any
) -> None:
    assert {_address(task) for task in train["tasks"]} == stages.keys() | AROUND_THE_STAGES


def test_edges_between_stages_are_those_of_dvc_without_implied_edges_from_code(train: Any, stages: Any) -> None:
    drawn = {
        _address(name): sorted(_address(needed) for needed in task["upstream"] if needed != "open")
        for name, task in train["tasks"].items()
        if name not in AROUND_THE_STAGES
    }
    without_code = {name: [need for need in stage["upstream"] if need != "code"] for name, stage in stages.items()}

    assert drawn == without_code | {"acquire": ["code", "source"]}
    assert all("code" in stage["upstream"] for name, stage in stages.items() if name not in ("code", "source"))


@pytest.mark.parametrize("name", sorted(DAGS.keys() - {"janitor", "reproduce"}))  # they belong to no run
def test_every_task_runs_after_the_workspace_was_opened_and_before_it_is_closed(dags: Any, name: str) -> None:
    dag = dags[name]
    needed = {upstream for task in dag["tasks"].values() for upstream in task["upstream"]}

    assert [name for name, task in dag["tasks"].items() if not task["upstream"]] == ["open"]
    assert [name for name in dag["tasks"] if name not in needed] == ["close"]


def test_brats_cohort_runs_the_stages_up_to_validate_and_announces_the_cohort(dags: Any) -> None:
    tasks = dags["cohort"]["tasks"]

    assert set(tasks) == {"open", "code", "source", "acquire", "validate", "announce", "close"}
    assert tasks["announce"]["upstream"] == ["validate"]


def test_a_task_has_the_pool_retries_and_timeout_of_its_stage(train: Any, stages: Any) -> None:
    for name, task in train["tasks"].items():
        if name not in AROUND_THE_STAGES:
            stage = stages[_address(name)]
            assert (task["pool"], task["retries"], task["minutes"]) == (
                stage["pool"],
                stage["retries"],
                stage["timeout_minutes"],
            )


def test_a_stage_task_reproduces_only_its_own_stage(train: Any) -> None:
    for name, task in train["tasks"].items():
        if name not in AROUND_THE_STAGES:
            assert task["command"][-3:] == ["repro", "--single-item", _address(name)]


def test_promotion_waits_for_the_gate_the_approval_and_the_push_to_the_remote(train: Any) -> None:
    tasks = train["tasks"]

    assert tasks["approve"]["upstream"] == ["gate"]
    assert tasks["push"]["upstream"] == ["approve"]
    assert tasks["promote"]["upstream"] == ["approve", "push"]


def test_the_table_of_predictions_is_written_once_after_all_shards_even_if_one_failed(dags: Any) -> None:
    tasks = dags["score"]["tasks"]

    assert tasks["table"]["upstream"] == ["pending", "score"]
    assert tasks["table"]["rule"] == "all_done_min_one_success"
    assert tasks["drift"]["upstream"] == ["table"]
    assert tasks["drift"]["outlets"] == ["brats_drift_alarm"]
    assert tasks["close"]["upstream"] == ["drift", "score", "table"]


@pytest.fixture(scope="module")
def shards(home: Path) -> Any:
    return dag_reader.run(dag_reader.SHARDS, ROOT, home=home)


def test_a_task_that_scores_a_shard_is_named_by_its_cases(dags: Any, shards: Any) -> None:
    assert dags["score"]["tasks"]["score"]["name"] == "{{ task.shard }}"
    assert shards["names"] == ["a", "a and 1 more", "a and 2 more"]


def test_the_event_of_predictions_counts_the_cases_of_all_shards(dags: Any, shards: Any) -> None:
    assert dags["score"]["tasks"]["table"]["outlets"] == ["brats_predictions"]
    assert shards["total"] == {"scored": 3, "kept": 4, "refused": 1, "gone": 0, "models": {"segmentation": "s v1"}}


def test_the_last_task_of_a_training_links_to_mlflow_and_to_the_report(train: Any) -> None:
    assert train["tasks"]["close"]["links"] == ["MLflow", "Report"]


@pytest.fixture(scope="module")
def approvals(home: Path) -> Any:
    return dag_reader.run(dag_reader.ASKED, ROOT, home=home)


def test_only_a_person_s_yes_to_the_same_verdict_approves(approvals: Any) -> None:
    answers = approvals["answers"]

    assert [name for name, result in answers.items() if result == "passes"] == ["yes"]
    assert {result for result in answers.values() if result != "passes"} == {
        "nobody has approved these models: clear the task approve, and let an approver answer its question"
    }


def test_a_person_is_asked_if_a_model_passed_and_the_form_or_the_gate_asks_or_the_gate_was_weakened(
    approvals: Any,
) -> None:
    assert approvals["asked"] == [
        [promote, approval, form, weaker, promote and (approval or form or weaker)]
        for promote, approval, form, weaker in itertools.product((False, True), repeat=4)
    ]


def test_a_skipped_stage_does_not_block_later_tasks(train: Any) -> None:
    rules = {task["rule"] for name, task in train["tasks"].items() if name != "open"}

    assert rules == {"none_failed"}


def test_a_dag_has_a_description_and_a_tag_and_does_not_catch_up(dag: Any) -> None:
    assert dag["doc"].strip()
    assert "brats" in dag["tags"]
    assert dag["catchup"] is False


def test_every_task_has_an_owner_and_a_description(dag: Any) -> None:
    for task in dag["tasks"].values():
        assert task["owner"] == "brats_ml"
        assert task["doc"]


def test_every_field_of_the_form_has_a_title_and_help_in_the_key_that_airflow_renders(dag: Any) -> None:
    """Airflow shows `description` as it is, with its backticks, and then leaves `description_md` out."""
    assert dag["form"]
    for field in dag["form"].values():
        assert all(field[key] for key in ("title", "description_md", "type"))
        assert field["description"] is None
        assert "`" not in field["description_md"]


def test_airflow_accepts_every_value_so_that_the_sentence_about_a_wrong_one_is_ours(dag: Any) -> None:
    for field in dag["form"].values():
        for value in (None, "", "no such value", -1, 0.5, [], [1], {}, True):
            jsonschema.validate(value, {key: part for key, part in field.items() if key != "description"})


def test_the_form_of_brats_train_offers_every_declared_recipe(train: Any, recipes: list[str]) -> None:
    assert train["form"]["recipes"]["examples"] == recipes
    assert len(recipes) > len(load(ROOT / "params.yaml").train.recipes)


def test_the_form_of_brats_score_offers_the_presets(dags: Any) -> None:
    assert dags["score"]["form"]["preset"]["enum"] == ["fast", "balanced", "best"]


def test_people_are_notified_of_every_failed_run_and_of_the_question(dags: Any, dag: Any) -> None:
    assert dag["failure"] == "failure"
    assert dags["train"]["questions"] == {"approve": ["approval"]}


def test_no_dag_offers_a_backfill(dag: Any) -> None:
    """No run has a date, so Airflow refuses a backfill and hides its button."""
    assert {"manual", "scheduled", "asset_triggered"} < set(dag["run types"])
    assert "backfill" not in dag["run types"]


def test_parsing_a_dag_file_imports_nothing_heavy(dag: Any) -> None:
    assert not UNWANTED & set(dag["modules"])


def test_a_worker_that_starts_imports_no_dvc_where_the_graph_is_kept(home: Path, train: Any) -> None:
    again = dag_reader.run(dag_reader.PARSE, ROOT / "dags" / DAGS["train"], home=home)

    assert {"dvc", "networkx"} <= set(train["modules"])
    assert not {"dvc", "networkx"} & set(again["modules"])
    assert again["tasks"] == train["tasks"]


@pytest.mark.slow
def test_equal_content_gives_an_equal_dag_and_parameters_without_a_field_of_their_own_change_nothing(
    home: Path, tmp_path: Path
) -> None:
    """Airflow keeps a version of the DAG for each change, and its pages read the version of each run."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "dags", tmp_path / "dags")
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=tmp_path, check=True)

    def serialized(seed: int) -> Any:
        file = tmp_path / "dags" / DAGS["train"]
        return dag_reader.run(dag_reader.SERIALIZED, file, home=home, PYTHONHASHSEED=str(seed))

    first = serialized(1)
    assert serialized(2) == first
    override(tmp_path / "params.yaml", ["recipes.baseline_mini.epochs=7", "phantom.cases=9", "train.seed=3"])
    assert serialized(3) == first
    override(tmp_path / "params.yaml", ["train.recipes=[baseline_mini, regions2d]"])
    assert serialized(4) != first


def test_the_folder_of_dags_holds_only_files_that_define_one() -> None:
    assert {path.name for path in (ROOT / "dags").glob("*.py")} == set(DAGS.values())
