"""A tiny cohort under a real scheduler: kills, approval, scoring, a second run, invalid forms and a cleared task."""

import csv
import json
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from mlflow.tracking import MlflowClient

from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.orchestration.local.airflow_access import APPROVER
from brats_ml.orchestration.runs.processes import marked
from brats_ml.orchestration.runs.run import slug
from brats_ml.workspace.state import State
from tests.e2e import roles
from tests.e2e.airflow import Airflow, kill, processes_of
from tests.e2e.checkout import Checkout

EPOCHS = 8
TRAIN, SCORE = "brats_train", "brats_score"
STAGES = {
    "acquire", "validate", "preprocess", "train.baseline_mini", "evaluate.baseline_mini", "features.reference",
    "features.predicted", "plan.baseline_mini", "survival.random_forest", "survival.svm", "survival.knn",
    "survival.cox", "survival.age", "compare",
}  # fmt: skip
# Tasks of the recipes that the form does not choose.
LEFT_OUT = {
    f"{stage}.{recipe}"
    for stage in ("plan", "train", "evaluate")
    for recipe in ("baseline", "ensemble", "regions2d", "regions3d")
}
# Tasks that run every time, because they read or change something outside the run.
ALWAYS = {"open", "code", "source", "split", "publish", "gate", "close"}


@dataclass
class Observed:
    """The ids of both runs and what the sequence recorded."""

    first: str = ""
    second: str = ""
    seen: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    return make_checkout(f"recipes.baseline_mini.epochs={EPOCHS}", "orchestration.score=null")


def servers(checkout: Checkout) -> dict[str, int]:
    """Return the process id of each server."""
    recorded: dict[str, int] = json.loads((checkout.root / ".brats/servers.json").read_text())["processes"]
    return recorded


@pytest.fixture(scope="module")
def observed(checkout: Checkout) -> Observed:
    """Run the whole sequence once and return what it recorded."""
    observed = Observed()
    seen = observed.seen
    start_servers(checkout, seen)
    with Airflow(checkout) as airflow:
        run_sequence(observed, checkout, airflow)
    checkout.brats("down")
    seen["left after down"] = marked(checkout.root)
    seen["second down"] = checkout.brats("down")
    return observed


def run_sequence(observed: Observed, checkout: Checkout, airflow: Airflow) -> None:
    seen = observed.seen
    observed.first = killed_run(checkout, airflow, seen)
    seen["first states"] = airflow.states(TRAIN, observed.first)
    (scoring,) = airflow.unfinished(SCORE)
    seen["score states"] = airflow.finish(SCORE, scoring)
    seen["shards"] = airflow.shards(SCORE, scoring, "score")
    seen["events"] = {name: airflow.events(name)[0] for name in ("brats_champions", "brats_predictions")}
    seen["logs"] = {
        task: airflow.read_log(TRAIN, observed.first, task) for task in seen["first states"].keys() - LEFT_OUT
    }
    seen["links"] = {name: airflow.link(TRAIN, observed.first, "publish", name) for name in ("MLflow", "Report")}
    seen["remaining workspaces"] = workspaces(checkout)
    seen["demo"] = checkout.brats("demo")
    observed.second = airflow.runs(TRAIN)[-1]
    seen["second states"] = airflow.states(TRAIN, observed.second)
    seen["second log"] = airflow.last_log(TRAIN, observed.second, "train.baseline_mini")
    seen["second link"] = airflow.link(TRAIN, observed.second, "train.baseline_mini", "MLflow")
    seen["disk"] = disk_bytes(checkout)
    idle = airflow.trigger(SCORE, {})
    refuse_bad_forms(airflow, seen)
    airflow.clear(TRAIN, observed.first, "features.predicted")
    seen["cleared states"] = airflow.finish(TRAIN, observed.first)
    seen["idle states"] = airflow.finish(SCORE, idle)
    seen["idle log"] = airflow.read_log(SCORE, idle, "open")
    seen["idle clones"] = list((checkout.root / ".brats").glob(f"*/{SCORE}/{slug(idle)}"))
    seen["prune"] = checkout.brats("prune")


def start_servers(checkout: Checkout, seen: dict[str, Any]) -> None:
    seen |= {"up": checkout.brats("up"), "started": servers(checkout)}
    checkout.brats("up")
    seen["after second up"] = servers(checkout)
    address = f"http://127.0.0.1:{checkout.environment['BRATS_MLFLOW_PORT']}/api/2.0/mlflow/registered-models/search"
    seen["without a login"] = httpx.get(address, trust_env=False).status_code
    psutil.Process(servers(checkout)["triggerer"]).kill()
    checkout.brats("up")
    seen["after crash"] = servers(checkout)
    checkout.brats("inbox")


def killed_run(checkout: Checkout, airflow: Airflow, seen: dict[str, Any]) -> str:
    """Run brats_train with approval to its end, and kill one of its processes four times."""
    run_id = airflow.trigger(TRAIN, {"approval": True})
    kill(checkout, "task", "validate")
    wait_for_epoch(checkout, 2)
    kill(checkout, "stage", "train.baseline_mini")
    wait_for_epoch(checkout, 4)
    kill(checkout, "scheduler", "train.baseline_mini")
    checkout.brats("up")
    kill(checkout, "dvc", "evaluate.baseline_mini")
    airflow.wait(TRAIN, run_id, until=lambda states: states.get("approve") == "awaiting_input")
    seen["status"] = json.loads(checkout.brats("status", "--json"))
    seen["question"] = airflow.question(TRAIN, run_id, "approve")
    seen["roles"] = roles.statuses(partial(Airflow, checkout), TRAIN, run_id)
    seen["runs after the requests"] = airflow.runs(TRAIN)
    ledger = (checkout.root / ".brats/ledger.jsonl").read_text()  # the gate has looked already
    seen["promoted before approval"] = '"promotion"' in ledger
    with Airflow(checkout, account=APPROVER) as approver:
        approver.answer(TRAIN, run_id, "approve", "Approve")
    airflow.finish(TRAIN, run_id)
    seen["tries"] = {task.task_id: task.tries for task in airflow.tasks(TRAIN, run_id)}
    seen["remaining processes"] = [
        process for task in ("validate", "train.baseline_mini") for process in processes_of(checkout, task)
    ]
    return run_id


def wait_for_epoch(checkout: Checkout, epoch: int) -> None:
    checkout.wait_for(lambda: any(checkout.root.glob(f".brats/checkpoints/*/epoch-{epoch:05d}")), limit_s=240)


def refuse_bad_forms(airflow: Airflow, seen: dict[str, Any]) -> None:
    """Trigger runs with invalid forms, and record their states and the logs of their first tasks."""
    source = airflow.checkout.root / "brats_ml/cohort/phantom.py"
    forms: dict[str, dict[str, Any]] = {
        "revision": {"revision": "no-such-branch"},
        "parameter": {"set": ["recipes.baseline_mini.dropout=7"]},
        "graph": {"set": ["survival.estimators=[svm]"]},
        "field": {"recipes": ["region2d"]},
    }
    runs = {name: airflow.trigger(TRAIN, form) for name, form in forms.items()}
    for name, run_id in runs.items():
        seen[f"refused {name}"] = (airflow.finish(TRAIN, run_id), airflow.read_log(TRAIN, run_id, "open"))
    source.write_text(source.read_text() + "\n")
    dirty = airflow.trigger(TRAIN, {})
    seen["refused dirty"] = (airflow.finish(TRAIN, dirty), airflow.read_log(TRAIN, dirty, "open"))
    source.write_text(source.read_text()[:-1])


def workspaces(checkout: Checkout) -> list[Path]:
    return list((checkout.root / ".brats/workspaces").glob("*/*"))


def disk_bytes(checkout: Checkout) -> dict[str, int]:
    """Return the bytes in DVC's cache and in the records of all runs."""
    folders = {"cache": checkout.root / ".dvc/cache", "runs": checkout.root / ".brats/runs"}
    return {
        name: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for name, folder in folders.items()
    }


def mlflow_runs(checkout: Checkout) -> tuple[MlflowClient, list[Any]]:
    client = MlflowClient(embedded_store(State(checkout.root / ".brats")))
    experiment = client.get_experiment_by_name("brats")
    assert experiment is not None
    return client, list(client.search_runs([experiment.experiment_id]))


def test_up_prints_the_addresses_of_the_servers_and_the_login(observed: Observed, checkout: Checkout) -> None:
    output = observed.seen["up"]

    assert f"http://127.0.0.1:{checkout.environment['BRATS_AIRFLOW_PORT']}" in output
    assert f"http://127.0.0.1:{checkout.environment['BRATS_MLFLOW_PORT']}" in output
    assert "log in as admin" in output
    assert "log in as reader" in output


def test_all_that_runs_and_servers_write_is_their_users_alone(observed: Observed, checkout: Checkout) -> None:
    """DVC makes the files of its cache readable by all; nobody else may enter the folders that link to them."""
    made = [checkout.root / name for name in (".brats", "data", "models", "predictions", "reports", ".dvc/cache")]
    inside = [path for folder in made[:1] for path in folder.rglob("*") if not path.is_symlink()]
    opened = [path for path in inside if path.stat().st_mode & 0o077 and stat.S_IMODE(path.stat().st_mode) != 0o444]

    assert {folder.name: stat.S_IMODE(folder.stat().st_mode) for folder in made} == {path.name: 0o700 for path in made}
    assert opened == []


def test_mlflow_shows_nothing_without_a_login(observed: Observed) -> None:
    assert observed.seen["without a login"] == 401


def test_a_second_up_starts_nothing(observed: Observed) -> None:
    assert observed.seen["after second up"] == observed.seen["started"]


def test_up_after_a_crash_starts_only_the_missing_server(observed: Observed) -> None:
    before, after = observed.seen["started"], observed.seen["after crash"]

    assert {name for name in before if before[name] != after[name]} == {"triggerer"}


def test_a_run_succeeds_although_its_processes_were_killed(observed: Observed) -> None:
    """A task, a training in an epoch, the scheduler and DVC were each killed once."""
    states = observed.seen["first states"]

    assert {name for name, state in states.items() if state == "skipped"} == LEFT_OUT
    assert {name for name, state in states.items() if state == "success"} == STAGES | ALWAYS | {
        "approve", "push", "promote",
    }  # fmt: skip
    assert observed.seen["tries"]["validate"] == 2
    assert observed.seen["tries"]["train.baseline_mini"] >= 2
    assert observed.seen["tries"]["evaluate.baseline_mini"] >= 2


def test_no_killed_process_survives_next_to_its_retry(observed: Observed) -> None:
    assert observed.seen["remaining processes"] == []


def test_a_killed_run_has_one_mlflow_run_per_stage_and_one_version_per_model(
    observed: Observed, checkout: Checkout
) -> None:
    client, runs = mlflow_runs(checkout)
    models = ("brats-segmentation", "brats-survival")
    versions = {name: len(client.search_model_versions(f"name = '{name}'")) for name in models}
    work = (
        "train baseline_mini",
        "survival random_forest",
        "survival svm",
        "survival knn",
        "survival cox",
        "survival age",
        "pipeline",
        "predictions",
    )

    named = Counter(run.info.run_name.partition(",")[0].rpartition(" ")[0] for run in runs)

    assert named == dict.fromkeys(work, 1)
    assert versions == dict.fromkeys(models, 1)
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_training_killed_twice_logs_each_epoch_once(observed: Observed, checkout: Checkout) -> None:
    client, runs = mlflow_runs(checkout)
    (trained,) = [run for run in runs if run.info.run_name.startswith("train baseline_mini ")]
    steps = [point.step for point in client.get_metric_history(trained.info.run_id, "loss")]

    assert sorted(steps) == list(range(1, EPOCHS + 1))
    assert trained.data.tags["airflow.run"] == f"{TRAIN}/{observed.first}"


def test_the_verdict_is_shown_before_a_model_is_promoted(observed: Observed) -> None:
    question = observed.seen["question"]

    assert question["options"] == ["Approve", "Reject"]
    assert question["defaults"] == ["Reject"]
    assert question["subject"].startswith("May brats-segmentation v1")
    assert "### brats-segmentation v1: PROMOTE" in question["body"]
    assert "the models are rejected" in question["body"]
    assert "### Conditions of the gate" in question["body"]
    assert "| WT |" in question["body"]
    assert not observed.seen["promoted before approval"]


def test_each_role_may_do_what_it_should_and_nobody_else_anything(observed: Observed) -> None:
    found = observed.seen["roles"]

    for account, may in roles.MAY.items():
        assert roles.allowed(found[account]) == may, account
        assert {status for name, status in found[account].items() if name not in may} <= {403}, account
    assert set(found[None].values()) == {401}
    assert observed.seen["runs after the requests"] == [observed.first]


def test_the_status_says_that_a_run_waits_for_a_person(observed: Observed) -> None:
    status = observed.seen["status"]

    assert (status["runs"][0]["run"], status["runs"][0]["state"]) == (observed.first, "awaiting approval")
    assert {server["server"] for server in status["servers"]} == observed.seen["started"].keys()
    assert status["problems"] == []


def test_new_champions_start_scoring(observed: Observed, checkout: Checkout) -> None:
    with (checkout.root / "predictions/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert observed.seen["score states"] == dict.fromkeys(
        ("open", "pending", "score", "table", "drift", "close"), "success"
    )
    assert [row["status"] for row in rows] == ["scored"] * 4
    assert {row["segmentation_model"] for row in rows} == {"brats-segmentation v1"}


def test_the_last_line_of_each_log_is_the_sentence_to_read(observed: Observed) -> None:
    logs = observed.seen["logs"]
    # The others ask a person, or open and close the workspace; `dvc push` has words of its own.
    named = {task.partition(".")[0] for task in logs.keys() - {"open", "close", "approve", "push"}}
    text = "\n".join(line for lines in logs.values() for _, line in lines)

    assert {lines[-1][1].partition(": ")[0] for task, lines in logs.items() if task.partition(".")[0] in named} == named
    assert not [hint for hint in ("dvc push`", "git add", "autostage", "oneDNN", "InitializeLog") if hint in text]


def test_the_links_of_a_run_are_in_the_logs_of_its_tasks(observed: Observed) -> None:
    for task in ("publish", "close"):
        lines = [line for _, line in observed.seen["logs"][task]]
        assert {f"{name}: {address}" for name, address in observed.seen["links"].items()} <= set(lines)
    assert observed.seen["logs"]["publish"][-1][1].endswith(f"runs logged to {observed.seen['links']['MLflow']}")


def test_a_task_that_scores_is_named_by_its_cases(observed: Observed) -> None:
    assert observed.seen["shards"] == ["BraTS20_Validation_501 and 3 more"]


def test_events_say_which_models_and_how_many_cases(observed: Observed) -> None:
    champions, predictions = (observed.seen["events"][f"brats_{name}"] for name in ("champions", "predictions"))

    assert champions["models"]["segmentation"] == {"model": "brats-segmentation", "version": 1, "verdict": "PROMOTE"}
    assert (predictions["scored"], predictions["refused"]) == (4, 0)
    assert predictions["models"]["segmentation"] == "brats-segmentation v1"
    assert predictions["Predictions"].endswith("/predictions/predictions.csv")


def test_a_scoring_run_without_a_case_ends_before_it_clones(observed: Observed) -> None:
    states = observed.seen["idle states"]

    assert states.pop("open") == "success"
    assert set(states.values()) == {"skipped"}
    assert observed.seen["idle log"][-1] == ("info", "pending: 0 of 4 case(s) wait, in 0 shard(s)")
    assert observed.seen["idle clones"] == []


def test_a_finished_run_leaves_its_record_and_no_workspace(observed: Observed, checkout: Checkout) -> None:
    records = [path.parent for path in (checkout.root / f".brats/runs/{TRAIN}").glob("*/run.json")]
    (record,) = [path for path in records if json.loads((path / "run.json").read_text())["run_id"] == observed.first]

    assert observed.seen["remaining workspaces"] == []
    assert {"run.json", "dvc.lock", "params.yaml", "decisions"} <= {path.name for path in record.iterdir()}


def test_a_task_links_to_its_run_and_to_the_report_in_mlflow(observed: Observed, checkout: Checkout) -> None:
    server = f"http://127.0.0.1:{checkout.environment['BRATS_MLFLOW_PORT']}/#/experiments/"

    assert observed.seen["links"]["MLflow"].startswith(server)
    assert observed.seen["links"]["Report"].endswith("/artifacts/reports/index.html?workflowType=machine_learning")


def test_a_run_on_unchanged_input_skips_every_unchanged_stage_and_runs_the_rest(observed: Observed) -> None:
    states = observed.seen["second states"]

    assert {name for name, state in states.items() if state == "skipped"} == STAGES | LEFT_OUT | {
        "approve", "push", "promote",
    }  # fmt: skip
    assert {name for name, state in states.items() if state == "success"} == ALWAYS
    assert "train@baseline_mini is unchanged" in observed.seen["second log"]


def test_a_skipped_training_still_links_to_its_run(observed: Observed) -> None:
    assert "/runs/" in str(observed.seen["second link"])


def test_the_demo_puts_the_results_into_the_checkout(observed: Observed, checkout: Checkout) -> None:
    assert "none yet" not in observed.seen["demo"]
    assert observed.seen["demo"].count("version 1") == 2
    assert (checkout.root / "reports/index.html").is_file()


def test_two_runs_on_one_cohort_share_its_bytes(observed: Observed) -> None:
    assert observed.seen["disk"]["runs"] < 0.05 * observed.seen["disk"]["cache"]


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("revision", "has no revision no-such-branch"),
        ("parameter", "params.yaml, key recipes.baseline_mini.dropout"),
        ("graph", "it has no stage survival@"),
        ("field", "form of brats_train, field recipes.0: must be baseline, baseline_mini"),
        ("dirty", "brats_ml/cohort/phantom.py"),
    ],
)
def test_an_invalid_form_fails_with_one_sentence_and_no_retry(observed: Observed, case: str, sentence: str) -> None:
    states, log = observed.seen[f"refused {case}"]

    assert states.pop("open") == "failed"
    assert set(states.values()) == {"upstream_failed"}
    assert log[-1][0] == "error"
    assert sentence in log[-1][1]


def test_a_task_of_a_finished_run_can_be_cleared(observed: Observed) -> None:
    states = observed.seen["cleared states"]

    assert states["features.predicted"] == "skipped"
    assert states["compare"] == "success"


def test_prune_keeps_the_data_of_kept_runs(observed: Observed) -> None:
    assert "No unused 'repo' cache to remove." in observed.seen["prune"]
    assert "Removed" not in observed.seen["prune"]


def test_down_ends_every_process_and_is_repeatable(observed: Observed) -> None:
    assert observed.seen["left after down"] == []
    assert "no server was running" in observed.seen["second down"]
