"""The DAGs of operation under a real scheduler: a rollback, a clean-up, and reproductions of the champions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mlflow.tracking import MlflowClient

from brats_ml.adapters.tracking.own_store import embedded_store
from brats_ml.adapters.tracking.reigns import champion
from brats_ml.orchestration.local.airflow_access import APPROVER
from brats_ml.workspace.state import State
from tests.e2e.airflow import Airflow
from tests.e2e.checkout import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
SEGMENTATION = "brats-segmentation"
ROLLBACK, JANITOR, REPRODUCE = "brats_rollback", "brats_janitor", "brats_reproduce"


@dataclass
class Observed:
    """States of tasks and lines of logs, by what was done."""

    states: dict[str, dict[str, str]] = field(default_factory=dict)
    logs: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    seen: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    """A checkout in which version 1 of each model was promoted, and a copy of the network adopted after it."""
    checkout = make_checkout("recipes.baseline_mini.epochs=1", "orchestration.score=null")
    checkout.dvc("repro")
    for action in ("publish", "gate", "promote"):
        checkout.brats(action)
    return checkout


@pytest.fixture(scope="module")
def observed(checkout: Checkout) -> Observed:
    register_again(checkout)
    observed = Observed()
    observed.seen["up"] = checkout.brats("up")
    try:
        with Airflow(checkout) as airflow:
            observe(observed, checkout, airflow)
    finally:
        checkout.brats("down")
    return observed


def register_again(checkout: Checkout) -> None:
    client = MlflowClient(embedded_store(State(checkout.root / ".brats")))
    first = client.get_model_version(SEGMENTATION, "1")
    files = client.get_model_version_download_uri(SEGMENTATION, "1")
    client.create_model_version(SEGMENTATION, files, first.run_id, tags=dict(first.tags))
    checkout.brats("adopt", SEGMENTATION, "2")


def observe(observed: Observed, checkout: Checkout, airflow: Airflow) -> None:
    for dag_id in (ROLLBACK, JANITOR, REPRODUCE):
        checkout.wait_for(lambda dag_id=dag_id: airflow.parsed_at(dag_id) is not None, limit_s=300)
    run_id = airflow.trigger(ROLLBACK, {"model": SEGMENTATION, "reason": "too many calls"})
    airflow.wait(ROLLBACK, run_id, until=lambda states: states.get("approve") == "awaiting_input")
    observed.seen["question"] = airflow.question(ROLLBACK, run_id, "approve")
    observed.seen["before"] = number(checkout)
    with Airflow(checkout, account=APPROVER) as approver:
        approver.answer(ROLLBACK, run_id, "approve", "Approve")
    observed.states["rollback"] = airflow.finish(ROLLBACK, run_id)
    observed.logs["rollback"] = airflow.read_log(ROLLBACK, run_id, "rollback")
    observed.seen["after"] = number(checkout)
    run_id = airflow.trigger(JANITOR, {"dry": True})
    observed.states["janitor"] = airflow.finish(JANITOR, run_id)
    observed.logs["janitor"] = airflow.read_log(JANITOR, run_id, "janitor")
    reproduce(observed, airflow, "reproduce", {})
    with damaged(checkout):
        reproduce(observed, airflow, "damaged", {"model": SEGMENTATION})
    reproduce(observed, airflow, "wrong", {"version": 1})


def reproduce(observed: Observed, airflow: Airflow, name: str, form: dict[str, Any]) -> None:
    """Run brats_reproduce to its end and keep what it says of the segmentation model."""
    run_id = airflow.trigger(REPRODUCE, form)
    observed.states[name] = airflow.finish(REPRODUCE, run_id)
    observed.logs[name] = airflow.read_log(REPRODUCE, run_id, "segmentation")
    observed.seen[name] = airflow.task(REPRODUCE, run_id, "segmentation").tries


def number(checkout: Checkout) -> int | None:
    found = champion(checkout.root / ".brats/ledger.jsonl", SEGMENTATION)
    return found.version if found else None


def damaged(checkout: Checkout) -> Any:
    """Change a byte of the trained network in DVC's cache."""
    from tests.e2e.test_reproduce import TRAINED, cached, changed

    return changed(cached(checkout, "train@baseline_mini", TRAINED, "model.keras"))


def test_an_approved_rollback_makes_the_earlier_champion_champion_again(observed: Observed) -> None:
    assert observed.states["rollback"] == dict.fromkeys(("open", "prove", "approve", "rollback", "close"), "success")
    assert observed.seen["question"]["subject"] == f"May {SEGMENTATION} v1 become champion again?"
    assert "it predicts its golden case bit by bit as before" in observed.seen["question"]["body"]
    assert (observed.seen["before"], observed.seen["after"]) == (2, 1)
    assert f"{SEGMENTATION} v1 is champion again" in observed.logs["rollback"][-1][1]


def test_a_clean_up_says_what_it_would_do(observed: Observed) -> None:
    assert observed.states["janitor"] == {"janitor": "success"}
    assert observed.logs["janitor"][-1][1].startswith("janitor: ")
    assert observed.logs["janitor"][-1][1].endswith("and nothing was changed")


def test_both_champions_are_reproduced(observed: Observed, checkout: Checkout) -> None:
    assert observed.states["reproduce"] == {"segmentation": "success", "survival": "success"}
    assert (
        "v1 is reproduced: 4 results of evaluate@baseline_mini are equal to the bit"
        in (observed.logs["reproduce"][-1][1])
    )
    assert list(Path(checkout.root / ".brats/workspaces/reproduce").glob("*")) == []


def test_a_champion_that_cannot_be_reproduced_fails_the_task_at_once_with_the_reason(observed: Observed) -> None:
    level, line = observed.logs["damaged"][-1]

    assert observed.states["damaged"] == {"segmentation": "failed", "survival": "skipped"}
    assert observed.seen["damaged"] == 1
    assert level == "error"
    assert "the first input that is changed is models/segmentation/baseline_mini/model.keras" in line


def test_a_wrong_form_fails_with_one_sentence(observed: Observed) -> None:
    assert observed.states["wrong"] == {"segmentation": "failed", "survival": "failed"}
    assert observed.logs["wrong"][-1] == (
        "error", "form of brats_reproduce, field version: needs the name of its model, found 1",
    )  # fmt: skip
