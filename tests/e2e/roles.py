"""A real request of each kind to a run that waits for approval, and who may send it."""

from collections.abc import Callable

from brats_ml.orchestration.local.airflow_access import ADMIN, APPROVER, OPERATOR, VIEWER
from tests.access import AccountClient, Request

READS = ("list runs", "read the question", "open the tab Results", "read a log")
MAY = {
    VIEWER: {*READS},
    OPERATOR: {*READS, "trigger", "clear", "mark", "pause"},
    APPROVER: {*READS, "pause", "answer"},
    ADMIN: {
        *READS, "trigger", "clear", "mark", "pause", "answer", "change a pool", "read a connection", "read variables",
        "write a result", "delete a run", "list accounts", "make an event",
    },
}  # fmt: skip


def requests(dag_id: str, run_id: str) -> dict[str, Request]:
    """Return the requests; none changes the run, for whoever sends it."""
    runs, question = f"/api/v2/dags/{dag_id}/dagRuns", "taskInstances/approve/-1/hitlDetails"
    return {
        "list runs": ("GET", runs, None),
        "read the question": ("GET", f"{runs}/{run_id}/{question}", None),
        "open the tab Results": ("GET", f"/brats/dags/{dag_id}/runs/{run_id}", None),
        "read a log": ("GET", f"{runs}/{run_id}/taskInstances/gate/logs/1", None),
        "trigger": ("POST", runs, {"logical_date": None, "conf": {"no such field": 1}, "dag_run_id": "no/slash"}),
        "clear": ("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", {"dry_run": True, "dag_run_id": run_id}),
        "mark": ("PATCH", f"{runs}/{run_id}/taskInstances/none", {"new_state": "success"}),
        "pause": ("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False}),
        "answer": ("PATCH", f"{runs}/no-such-run/{question}", {"chosen_options": ["Approve"]}),
        "change a pool": ("PATCH", "/api/v2/pools/none", {"pool": "none", "slots": 1}),
        "read a connection": ("GET", "/api/v2/connections/none", None),
        "read variables": ("GET", "/api/v2/variables", None),
        "write a result": ("POST", f"{runs}/none/taskInstances/gate/xcomEntries", {"key": "a", "value": 1}),
        "delete a run": ("DELETE", f"{runs}/none", None),
        "list accounts": ("GET", "/auth/fab/v1/users", None),
        "make an event": ("POST", "/api/v2/assets/events", {"asset_id": 0}),
    }


def allowed(found: dict[str, int]) -> set[str]:
    """Return the requests that were allowed: they were done, or refused for another reason than the role."""
    return {name for name, status in found.items() if status in (200, 201, 400, 404, 422)}


def statuses(client: Callable[..., AccountClient], dag_id: str, run_id: str) -> dict[str | None, dict[str, int]]:
    """Return the status of each request by account; `None` has no login.

    Args:
        client: Returns the client of an account, which it takes as `account`.
        dag_id: The DAG.
        run_id: A run of it.
    """
    wanted = requests(dag_id, run_id)
    found: dict[str | None, dict[str, int]] = {}
    for account in MAY:
        with client(account=account) as airflow:
            found[account] = airflow.statuses(wanted)
    with client() as nobody:
        return {**found, None: nobody.statuses(wanted, log_in=False)}
