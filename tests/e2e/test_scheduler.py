"""One tiny cohort through both DAGs under a real scheduler, and the life of the servers around it."""

import csv
import json
from collections.abc import Callable

import psutil
import pytest

from brats_ml.orchestration.processes import marked
from tests.e2e.checkout import Checkout


@pytest.fixture(scope="module")
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    return make_checkout()


def processes(checkout: Checkout) -> dict[str, int]:
    """Return the process id of each server."""
    recorded: dict[str, int] = json.loads((checkout.root / ".brats/servers.json").read_text())["processes"]
    return recorded


@pytest.fixture(scope="module")
def story(checkout: Checkout) -> dict[str, object]:
    """Live through it once; what was seen on the way is judged by the tests."""
    seen: dict[str, object] = {"up": checkout.brats("up"), "started": processes(checkout)}
    checkout.brats("up")
    seen["after_second_up"] = processes(checkout)
    psutil.Process(processes(checkout)["triggerer"]).kill()
    checkout.brats("up")
    seen["after_crash"] = processes(checkout)
    seen["demo"] = checkout.brats("demo")
    seen["left_running"] = {process.pid for process in marked(checkout.root)} >= set(processes(checkout).values())
    checkout.brats("down")
    seen["left_after_down"] = marked(checkout.root)
    seen["second_down"] = checkout.brats("down")
    return seen


def test_up_says_where_the_servers_are_and_how_to_log_in(story: dict[str, object], checkout: Checkout) -> None:
    told = str(story["up"])

    assert f"http://127.0.0.1:{checkout.environment['BRATS_AIRFLOW_PORT']}" in told
    assert f"http://127.0.0.1:{checkout.environment['BRATS_MLFLOW_PORT']}" in told
    assert "log in as admin" in told


def test_a_second_up_starts_nothing(story: dict[str, object]) -> None:
    assert story["after_second_up"] == story["started"]


def test_up_after_a_crash_starts_what_is_missing_and_nothing_else(story: dict[str, object]) -> None:
    before, after = story["started"], story["after_crash"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)

    assert {name for name in before if before[name] != after[name]} == {"triggerer"}


def test_every_task_of_both_dags_succeeds(story: dict[str, object]) -> None:
    states = [line for line in str(story["demo"]).splitlines() if line.startswith("brats_")]

    assert len(states) == 19
    assert all(" success " in line for line in states)


def test_the_demo_names_both_champions(story: dict[str, object]) -> None:
    told = str(story["demo"])

    assert "none yet" not in told
    assert told.count("version 1") == 2


def test_unseen_cases_are_scored(story: dict[str, object], checkout: Checkout) -> None:
    with (checkout.root / "predictions/predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert [row["status"] for row in rows] == ["scored"] * 4
    assert {row["segmentation_model"] for row in rows} == {"brats-segmentation v1"}


def test_servers_that_ran_before_the_demo_run_after_it(story: dict[str, object]) -> None:
    assert story["left_running"]


def test_down_ends_every_process_and_can_be_repeated(story: dict[str, object]) -> None:
    assert story["left_after_down"] == []
    assert "nothing was running" in str(story["second_down"])
