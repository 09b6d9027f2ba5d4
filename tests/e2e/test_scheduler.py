"""A tiny cohort under a real scheduler: killed in every way, approved, scored, run again, refused, and cleared."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow.tracking import MlflowClient

from brats_ml.adapters.tracking.runs import embedded_store
from brats_ml.orchestration.runs.processes import marked
from brats_ml.workspace.state import State
from tests.e2e.airflow import Airflow, at_work, kill
from tests.e2e.checkout import Checkout

EPOCHS = 8
TRAIN, SCORE = "brats_train", "brats_score"
STAGES = {
    "acquire", "validate", "preprocess", "train.baseline_mini", "evaluate.baseline_mini", "features.reference",
    "features.predicted", "plan.baseline_mini", "survival.random_forest", "survival.svm", "survival.knn",
    "survival.cox", "compare",
}  # fmt: skip
# Look at the world, or at the permanent split, in every run.
ALWAYS = {"open", "code", "source", "split", "publish", "gate", "close"}


@dataclass
class Story:
    """What was seen on the way."""

    first: str = ""
    again: str = ""
    seen: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    return make_checkout(f"recipes.baseline_mini.epochs={EPOCHS}", "orchestration.score=null")


def servers(checkout: Checkout) -> dict[str, int]:
    """Return the process id of each server."""
    recorded: dict[str, int] = json.loads((checkout.root / ".brats/servers.json").read_text())["processes"]
    return recorded


@pytest.fixture(scope="module")
def story(checkout: Checkout) -> Story:
    """Live through it once; what was seen on the way is judged by the tests."""
    story = Story()
    seen = story.seen
    start_servers(checkout, seen)
    with Airflow(checkout) as airflow:
        live(story, checkout, airflow)
    checkout.brats("down")
    seen["left after down"] = marked(checkout.root)
    seen["second down"] = checkout.brats("down")
    return story


def live(story: Story, checkout: Checkout, airflow: Airflow) -> None:
    seen = story.seen
    story.first = killed_run(checkout, airflow, seen)
    seen["first states"] = airflow.states(TRAIN, story.first)
    (scoring,) = airflow.unfinished(SCORE)
    seen["score states"] = airflow.finish(SCORE, scoring)
    seen["links"] = {name: airflow.link(TRAIN, story.first, "publish", name) for name in ("MLflow", "Report")}
    seen["left of workspaces"] = workspaces(checkout)
    seen["demo"] = checkout.brats("demo")
    story.again = airflow.runs(TRAIN)[-1]
    seen["again states"] = airflow.states(TRAIN, story.again)
    seen["again log"] = airflow.told(TRAIN, story.again, "train.baseline_mini")
    seen["again link"] = airflow.link(TRAIN, story.again, "train.baseline_mini", "MLflow")
    seen["disk"] = disk_bytes(checkout)
    refuse_bad_forms(airflow, seen)
    airflow.clear(TRAIN, story.first, "features.predicted")
    seen["cleared states"] = airflow.finish(TRAIN, story.first)
    seen["prune"] = checkout.brats("prune")


def start_servers(checkout: Checkout, seen: dict[str, Any]) -> None:
    seen |= {"up": checkout.brats("up"), "started": servers(checkout)}
    checkout.brats("up")
    seen["after second up"] = servers(checkout)
    psutil.Process(servers(checkout)["triggerer"]).kill()
    checkout.brats("up")
    seen["after crash"] = servers(checkout)
    checkout.brats("inbox")


def killed_run(checkout: Checkout, airflow: Airflow, seen: dict[str, Any]) -> str:
    """Run brats_train to its end, with a part of it killed four times on the way and a person asked at its end."""
    run_id = airflow.trigger(TRAIN, {"approval": True})
    kill(checkout, "task", "validate")
    wait_for_epoch(checkout, 2)
    kill(checkout, "stage", "train.baseline_mini")
    wait_for_epoch(checkout, 4)
    kill(checkout, "scheduler", "train.baseline_mini")
    checkout.brats("up")
    kill(checkout, "dvc", "evaluate.baseline_mini")
    airflow.wait(TRAIN, run_id, until=lambda states: states.get("approve") == "awaiting_input")
    seen["question"] = airflow.question(TRAIN, run_id, "approve")
    seen["promoted before approval"] = (checkout.root / ".brats/ledger.jsonl").exists()
    airflow.answer(TRAIN, run_id, "approve", "Approve")
    airflow.finish(TRAIN, run_id)
    seen["tries"] = {task.task_id: task.tries for task in airflow.tasks(TRAIN, run_id)}
    seen["left at work"] = [
        process for task in ("validate", "train.baseline_mini") for process in at_work(checkout, task)
    ]
    return run_id


def wait_for_epoch(checkout: Checkout, epoch: int) -> None:
    checkout.wait_for(lambda: any(checkout.root.glob(f".brats/checkpoints/*/epoch-{epoch:05d}")), limit_s=240)


def refuse_bad_forms(airflow: Airflow, seen: dict[str, Any]) -> None:
    """Trigger runs that cannot be, two of them at once, and keep their states and the logs of their first tasks."""
    source = airflow.checkout.root / "brats_ml/cohort/phantom.py"
    forms: dict[str, dict[str, Any]] = {
        "revision": {"revision": "no-such-branch"},
        "parameter": {"set": ["recipes.baseline_mini.dropout=7"]},
        "graph": {"set": ["survival.estimators=[svm]"]},
    }
    runs = {name: airflow.trigger(TRAIN, form) for name, form in forms.items()}
    for name, run_id in runs.items():
        seen[f"refused {name}"] = (airflow.finish(TRAIN, run_id), airflow.told(TRAIN, run_id, "open"))
    source.write_text(source.read_text() + "\n")
    dirty = airflow.trigger(TRAIN, {})
    seen["refused dirty"] = (airflow.finish(TRAIN, dirty), airflow.told(TRAIN, dirty, "open"))
    source.write_text(source.read_text()[:-1])


def workspaces(checkout: Checkout) -> list[Path]:
    return list((checkout.root / ".brats/workspaces").glob("*/*"))


def disk_bytes(checkout: Checkout) -> dict[str, int]:
    """Return the bytes of the cohort in DVC's cache and of everything that the runs' records keep."""
    kept = {"cache": checkout.root / ".dvc/cache", "runs": checkout.root / ".brats/runs"}
    return {
        name: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) for name, folder in kept.items()
    }


def mlflow_runs(checkout: Checkout) -> tuple[MlflowClient, list[Any]]:
    client = MlflowClient(embedded_store(State(checkout.root / ".brats")))
    experiment = client.get_experiment_by_name("brats")
    assert experiment is not None
    return client, list(client.search_runs([experiment.experiment_id]))


def test_up_says_where_the_servers_are_and_how_to_log_in(story: Story, checkout: Checkout) -> None:
    told = story.seen["up"]

    assert f"http://127.0.0.1:{checkout.environment['BRATS_AIRFLOW_PORT']}" in told
    assert f"http://127.0.0.1:{checkout.environment['BRATS_MLFLOW_PORT']}" in told
    assert "log in as admin" in told


def test_a_second_up_starts_nothing(story: Story) -> None:
    assert story.seen["after second up"] == story.seen["started"]


def test_up_after_a_crash_starts_what_is_missing_and_nothing_else(story: Story) -> None:
    before, after = story.seen["started"], story.seen["after crash"]

    assert {name for name in before if before[name] != after[name]} == {"triggerer"}


def test_a_run_whose_parts_were_killed_ends_well(story: Story) -> None:
    """A task, a training in mid-epoch, the scheduler, and DVC were each killed once."""
    states = story.seen["first states"]

    assert states.keys() == STAGES | ALWAYS | {"approve", "push", "promote"}
    assert set(states.values()) == {"success"}
    assert story.seen["tries"]["validate"] == 2
    assert story.seen["tries"]["train.baseline_mini"] >= 2
    assert story.seen["tries"]["evaluate.baseline_mini"] >= 2


def test_nothing_that_was_killed_works_on_beside_its_retry(story: Story) -> None:
    assert story.seen["left at work"] == []


def test_a_killed_run_leaves_one_mlflow_run_a_piece_of_work_and_one_version_a_model(
    story: Story, checkout: Checkout
) -> None:
    client, runs = mlflow_runs(checkout)
    models = ("brats-segmentation", "brats-survival")
    versions = {name: len(client.search_model_versions(f"name = '{name}'")) for name in models}
    work = ("train baseline_mini", "survival random_forest", "survival svm", "survival knn", "survival cox", "pipeline")

    assert Counter(run.info.run_name for run in runs) == dict.fromkeys(work, 1)
    assert versions == dict.fromkeys(models, 1)
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_training_killed_twice_has_each_epoch_once(story: Story, checkout: Checkout) -> None:
    client, runs = mlflow_runs(checkout)
    (trained,) = [run for run in runs if run.info.run_name == "train baseline_mini"]
    steps = [point.step for point in client.get_metric_history(trained.info.run_id, "loss")]

    assert sorted(steps) == list(range(1, EPOCHS + 1))
    assert trained.data.tags["airflow.run"] == f"{TRAIN}/{story.first}"


def test_a_person_reads_the_verdict_before_anything_is_promoted(story: Story) -> None:
    asked = story.seen["question"]

    assert asked["options"] == ["Approve", "Reject"]
    assert asked["defaults"] == ["Reject"]
    assert "### brats-segmentation v1: PROMOTE" in asked["body"]
    assert "| WT |" in asked["body"]
    assert not story.seen["promoted before approval"]


def test_new_champions_start_the_scoring_of_unseen_cases(story: Story, checkout: Checkout) -> None:
    with (checkout.root / "predictions/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert story.seen["score states"] == dict.fromkeys(("open", "pending", "score", "close"), "success")
    assert [row["status"] for row in rows] == ["scored"] * 4
    assert {row["segmentation_model"] for row in rows} == {"brats-segmentation v1"}


def test_a_finished_run_leaves_its_record_and_no_workspace(story: Story, checkout: Checkout) -> None:
    records = [path.parent for path in (checkout.root / f".brats/runs/{TRAIN}").glob("*/run.json")]
    (record,) = [path for path in records if json.loads((path / "run.json").read_text())["run_id"] == story.first]

    assert story.seen["left of workspaces"] == []
    assert {"run.json", "dvc.lock", "params.yaml", "decisions"} <= {path.name for path in record.iterdir()}


def test_a_task_leads_to_its_run_and_to_the_report_in_mlflow(story: Story, checkout: Checkout) -> None:
    server = f"http://127.0.0.1:{checkout.environment['BRATS_MLFLOW_PORT']}/#/experiments/"

    assert story.seen["links"]["MLflow"].startswith(server)
    assert story.seen["links"]["Report"].endswith("/artifacts/reports/index.html")


def test_a_run_on_unchanged_input_skips_every_stage_and_the_rest_goes_on(story: Story) -> None:
    states = story.seen["again states"]

    assert {name for name, state in states.items() if state == "skipped"} == STAGES | {"approve", "push", "promote"}
    assert {name for name, state in states.items() if state == "success"} == ALWAYS
    assert "train@baseline_mini is unchanged" in story.seen["again log"]


def test_a_skipped_training_still_leads_to_its_run(story: Story) -> None:
    assert "/runs/" in str(story.seen["again link"])


def test_the_demo_brings_the_results_into_the_checkout(story: Story, checkout: Checkout) -> None:
    assert "none yet" not in story.seen["demo"]
    assert story.seen["demo"].count("version 1") == 2
    assert (checkout.root / "reports/index.html").is_file()


def test_two_runs_over_one_cohort_share_its_bytes(story: Story) -> None:
    assert story.seen["disk"]["runs"] < 0.05 * story.seen["disk"]["cache"]


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("revision", "has no revision no-such-branch"),
        ("parameter", "params.yaml, key recipes.baseline_mini.dropout"),
        ("graph", "it has no stage survival@"),
        ("dirty", "brats_ml/cohort/phantom.py"),
    ],
)
def test_a_form_that_cannot_be_run_ends_in_one_sentence_and_no_retry(story: Story, case: str, sentence: str) -> None:
    states, told = story.seen[f"refused {case}"]

    assert states.pop("open") == "failed"
    assert set(states.values()) == {"upstream_failed"}
    assert sentence in told.splitlines()[-1]


def test_a_task_of_a_finished_run_can_be_cleared(story: Story) -> None:
    states = story.seen["cleared states"]

    assert states["features.predicted"] == "skipped"
    assert states["compare"] == "success"


def test_prune_keeps_what_a_kept_run_needs(story: Story) -> None:
    assert "No unused 'repo' cache to remove." in story.seen["prune"]
    assert "Removed" not in story.seen["prune"]


def test_down_ends_every_process_and_can_be_repeated(story: Story) -> None:
    assert story.seen["left after down"] == []
    assert "no server was running" in story.seen["second down"]
