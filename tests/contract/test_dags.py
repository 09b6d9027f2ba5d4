"""The DAG files agree with dvc.yaml, have descriptions, and are cheap to parse."""

import itertools
from pathlib import Path
from typing import Any

import pytest

from tests.contract import dag_reader
from tests.contract.dag_reader import ROOT
from tests.contract.heavy_libraries import HEAVY

# A DAG file needs Airflow and asks DVC for its graph.
UNWANTED = HEAVY - {"airflow", "dvc"} | {"nibabel", "numpy", "pandas"}
AROUND_THE_STAGES = {"open", "publish", "gate", "approve", "push", "promote", "close"}
DAGS = {"train": "brats_train.py", "cohort": "brats_cohort.py", "score": "brats_score.py"}


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
def stages(home: Path) -> Any:
    return dag_reader.run(dag_reader.INDEX, ROOT, home=home)


@pytest.fixture(params=list(DAGS))
def dag(request: pytest.FixtureRequest, dags: Any) -> Any:
    return dags[request.param]


def _address(task_id: str) -> str:
    return task_id.replace(".", "@")


def test_tasks_of_brats_train_are_the_stages_of_dvc_and_the_actions_around_them(train: Any, stages: Any) -> None:
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


def test_every_task_runs_after_the_workspace_was_opened_and_before_it_is_closed(dag: Any) -> None:
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
    assert tasks["close"]["upstream"] == ["score", "table"]


def test_a_person_is_asked_if_a_model_passed_and_the_form_or_the_gate_asks(home: Path) -> None:
    asked = dag_reader.run(dag_reader.ASKED, ROOT, home=home)

    assert asked == [
        [promote, approval, form, promote and (approval or form)]
        for promote, approval, form in itertools.product((False, True), repeat=3)
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


def test_every_field_of_the_form_has_a_title_and_a_description(dag: Any) -> None:
    assert dag["form"]
    for field in dag["form"].values():
        assert all(field[key] for key in ("title", "description", "type"))


def test_parsing_a_dag_file_imports_nothing_heavy(dag: Any) -> None:
    assert not UNWANTED & set(dag["modules"])


def test_the_folder_of_dags_holds_only_files_that_define_one() -> None:
    assert {path.name for path in (ROOT / "dags").glob("*.py")} == set(DAGS.values())
