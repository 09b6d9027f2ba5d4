"""What an operator cannot do, and what becomes of passwords, under a real scheduler."""

import stat
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from brats_ml.errors import ServiceError
from brats_ml.orchestration.local.airflow_access import ACCOUNTS, ADMIN, APPROVER, OPERATOR, VIEWER
from brats_ml.orchestration.local.passwords import ensure_passwords
from tests.e2e.airflow import Airflow
from tests.e2e.checkout import Checkout
from tests.e2e.conftest import GIT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OWN = "a-password-of-my-own"
PIPELINE = "stages:\n  one:\n    cmd: date > one.txt\n    outs: [one.txt]\n"
DAG = """
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG, Param, task

from brats_ml.orchestration.dag.approval import ApprovedOperator, GateApproval
from brats_ml.orchestration.dag.rendering import DvcPipeline

ROOT = Path(__file__).parents[1]
with DAG("asks", params={"approval": Param(True), "revision": Param("HEAD")}):
    pipeline = DvcPipeline(ROOT)

    @task
    def gate() -> dict[str, object]:
        return {"promote": True, "approval": False, "markdown": "PROMOTE"}

    approve = GateApproval(task_id="approve", checkout=str(ROOT), response_timeout=timedelta(hours=1))
    promote = pipeline.command("promote", ["touch", str(ROOT / "promoted")], operator=ApprovedOperator, doc_md="")
    pipeline.open() >> gate() >> approve >> promote
"""


@dataclass
class Observed:
    """What was seen in the order of the steps."""

    seen: dict[str, Any] = field(default_factory=dict)


@pytest.fixture(scope="module")
def checkout(make_checkout: Callable[..., Checkout]) -> Checkout:
    checkout = make_checkout()
    root = checkout.root
    for dag in root.glob("dags/*.py"):
        dag.unlink()
    for name, text in {"dvc.yaml": PIPELINE, "dags/asks.py": DAG}.items():
        (root / name).write_text(text)
    for command in (["add", "-A"], ["commit", "-q", "-m", "another pipeline"]):
        subprocess.run([*GIT, *command], cwd=root, check=True)
    return checkout


@pytest.fixture(scope="module")
def observed(checkout: Checkout) -> Observed:
    observed = Observed()
    checkout.brats("up")
    bypassed(checkout, observed.seen)
    changed_passwords(checkout, observed.seen)
    checkout.brats("down")
    return observed


def bypassed(checkout: Checkout, seen: dict[str, Any]) -> None:
    """An operator marks the question as answered; then an approver answers it."""
    promoted = checkout.root / "promoted"
    with Airflow(checkout, account=OPERATOR) as operator, Airflow(checkout, account=APPROVER) as approver:
        run_id = operator.trigger("asks", {})
        wait_for_question(operator, run_id)
        with pytest.raises(ServiceError, match="403"):
            operator.answer("asks", run_id, "approve", "Approve")
        seen["marked"] = operator.statuses(
            {
                "mark": (
                    "PATCH",
                    f"/api/v2/dags/asks/dagRuns/{run_id}/taskInstances/approve",
                    {"new_state": "success"},
                )
            }
        )
        seen["states after the mark"] = operator.finish("asks", run_id)
        seen["sentence"] = operator.last_log("asks", run_id, "promote").splitlines()[-1]
        seen["promoted after the mark"] = promoted.exists()
        operator.clear("asks", run_id, "approve", "promote")
        wait_for_question(operator, run_id)
        approver.answer("asks", run_id, "approve", "Approve")
        seen["states after the answer"] = operator.finish("asks", run_id)
        seen["answer"] = operator.last_log("asks", run_id, "approve")
        seen["promoted after the answer"] = promoted.exists()


def wait_for_question(airflow: Airflow, run_id: str) -> None:
    airflow.wait("asks", run_id, until=lambda states: states["approve"] == "awaiting_input")
    assert airflow.states("asks", run_id)["approve"] == "awaiting_input"


def changed_passwords(checkout: Checkout, seen: dict[str, Any]) -> None:
    """The viewer gets a password of its own, the servers start again, and the operator gets a new one."""
    file = checkout.root / ".brats/airflow/passwords.json"
    before = ensure_passwords(file, *ACCOUNTS)
    own = {"own password": ("PATCH", f"/auth/fab/v1/users/{VIEWER}?update_mask=password", {"password": OWN})}
    with Airflow(checkout, account=ADMIN) as admin:
        seen["changed"] = admin.statuses(own)
    checkout.brats("down")
    seen["accounts"] = checkout.brats("accounts", "airflow")
    checkout.brats("up")
    seen["file after up"] = ensure_passwords(file, *ACCOUNTS) == before
    seen["mode"] = stat.S_IMODE(file.stat().st_mode)
    seen["own password"] = logs_in(checkout, VIEWER, OWN)
    seen["reset"] = checkout.brats("accounts", "airflow", "--reset", OPERATOR)
    after = ensure_passwords(file, *ACCOUNTS)
    seen["old password"] = logs_in(checkout, OPERATOR, before[OPERATOR])
    seen["new password"] = logs_in(checkout, OPERATOR, after[OPERATOR])
    seen["no such account"] = checkout.brats("accounts", "airflow", "--reset", "nobody", status=1)


def logs_in(checkout: Checkout, account: str, password: str) -> bool:
    with Airflow(checkout, account=account, password=password) as airflow:
        try:
            airflow.runs("asks")
        except ServiceError as error:
            if f"does not take the password of {account}: `brats accounts airflow --reset {account}`" in str(error):
                return False
            raise
    return True


def test_a_marked_question_promotes_nothing(observed: Observed) -> None:
    seen = observed.seen

    assert seen["marked"] == {"mark": 200}
    assert seen["states after the mark"]["approve"] == "success"
    assert seen["states after the mark"]["promote"] == "failed"
    assert "nobody has approved these models: clear the task approve" in seen["sentence"]
    assert not seen["promoted after the mark"]


def test_an_approver_s_answer_promotes(observed: Observed) -> None:
    assert observed.seen["states after the answer"]["promote"] == "success"
    assert "approved by approver" in observed.seen["answer"]
    assert observed.seen["promoted after the answer"]


def test_a_password_that_a_person_changed_stays(observed: Observed) -> None:
    assert observed.seen["changed"] == {"own password": 200}
    assert observed.seen["accounts"].startswith("the passwords are in ")
    assert observed.seen["accounts"].count("\n") == 1
    assert observed.seen["file after up"]
    assert observed.seen["mode"] == 0o600
    assert observed.seen["own password"]


def test_a_lost_password_is_replaced(observed: Observed) -> None:
    assert "the new password of operator is in" in observed.seen["reset"]
    assert not observed.seen["old password"]
    assert observed.seen["new password"]
    assert (
        "there is no account nobody: name one of admin, viewer, operator, approver" in observed.seen["no such account"]
    )
